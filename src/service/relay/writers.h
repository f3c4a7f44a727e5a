/* writers: who may publish: the policy of a relay and the keys that it lets through. (Private to service/relay/.)
 *
 *   open      everybody
 *   admin     the keys of relay.pubkey and relay.admins
 *   allow     these, and those of relay.writers
 *   members   all of these, and those that relay.members_file names: a hex key a line, where # begins a comment; or one event, of any
 *             kind, signed by an admin, whose p tags name the members
 */
#ifndef HF_SERVICE_RELAY_WRITERS_H
#define HF_SERVICE_RELAY_WRITERS_H

#include "base/env.h"
#include "service/config.h"

#define HF_RELAY_MEMBERS_FILE_BYTES_MAX (8u << 20)

struct hf_relay_writers;

/* HF_EINVAL and others with the sentence: a policy that there is not, a key that is none, a file that cannot be read, an event that no
 * admin signed, a policy that would let nobody publish. */
int hf_relay_writers_new(struct hf_relay_writers **out, struct hf_env *env, const struct hf_config_relay *settings,
	struct hf_failure *failure);
void hf_relay_writers_free(struct hf_relay_writers *writers); /* NULL is fine */
/* Why the author may not publish, with its prefix; NULL when he may. */
const char *hf_relay_writers_refuse(const struct hf_relay_writers *writers, const uint8_t key[static 32]);
/* Whether the policy is members, to which others can be added. */
bool hf_relay_writers_is_of_members(const struct hf_relay_writers *writers);
bool hf_relay_writers_is_open(const struct hf_relay_writers *writers);

#endif
