/* api: what marks the functions that programs outside call, and lets their headers be read as C++.
 *
 * The library hides every symbol but those marked HF_API; the executable and the tests link the layers and do not care.
 */
#ifndef HF_BASE_API_H
#define HF_BASE_API_H

#ifdef __cplusplus
#include <atomic>
#define HF_API extern "C" __attribute__((visibility("default")))
#define HF_API_DATA HF_API /* a variable */
#define HF_ATOMIC(type) std::atomic<type>
#define HF_RELAXED std::memory_order_relaxed
#define HF_STATIC /* in installed headers: the "static" of `key[static 32]`, which C++ does not have */
#else
#include <stdatomic.h>
#define HF_API __attribute__((visibility("default")))
#define HF_API_DATA extern HF_API
#define HF_ATOMIC(type) _Atomic(type)
#define HF_RELAXED memory_order_relaxed
#define HF_STATIC static
#endif

#endif
