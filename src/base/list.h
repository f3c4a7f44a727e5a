/* list: doubly linked lists of structs that carry their own links, named next and previous, behind a pointer to the first; and the way
 * back from a member to its struct. */
#ifndef HF_BASE_LIST_H
#define HF_BASE_LIST_H

#include <stddef.h>

#define HF_CONTAINER_OF(member_pointer, type, member) ((type *)(void *)((char *)(member_pointer) - offsetof(type, member)))

/* Puts item in front. */
#define HF_LIST_PUSH(first, item) HF_LIST_PUSH_BY(first, item, next, previous)
/* Takes item out. Its own links stay, so that who walks the list and stands on it can go on. */
#define HF_LIST_REMOVE(first, item) HF_LIST_REMOVE_BY(first, item, next, previous)

/* For structs that are in several lists, each with links of its own. */
#define HF_LIST_PUSH_BY(first, item, next_, previous_) \
	do {                                           \
		(item)->previous_ = NULL;              \
		(item)->next_ = (first);               \
		if ((item)->next_ != NULL)             \
			(item)->next_->previous_ = (item); \
		(first) = (item);                      \
	} while (0)
#define HF_LIST_REMOVE_BY(first, item, next_, previous_)                    \
	do {                                                                \
		if ((item)->next_ != NULL)                                  \
			(item)->next_->previous_ = (item)->previous_;       \
		if ((item)->previous_ != NULL)                              \
			(item)->previous_->next_ = (item)->next_;           \
		else if ((first) == (item))                                 \
			(first) = (item)->next_;                            \
	} while (0)

#endif
