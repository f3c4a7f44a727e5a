/* redis: a connection to a Redis or Valkey server, for threads that may wait. Its client library (hiredis) is loaded with the first one, so
 * that who does not use Redis does not need it. (Private to service/gateway/)
 */
#ifndef HF_SERVICE_GATEWAY_REDIS_H
#define HF_SERVICE_GATEWAY_REDIS_H

#include <hiredis.h>

#include "base/bytes.h"
#include "base/error.h"

#define HF_REDIS_TIMEOUT_MS 2000   /* of connecting, and of each answer */
#define HF_REDIS_TEXT_BYTES 256    /* of host, path, user and password each */
#define HF_REDIS_ARGUMENTS_MAX 64

/* Where a server is. */
struct hf_redis_address {
	char host[HF_REDIS_TEXT_BYTES]; /* or "" */
	char path[HF_REDIS_TEXT_BYTES]; /* of a Unix socket, or "" */
	int port;
	unsigned database;
	char user[HF_REDIS_TEXT_BYTES], password[HF_REDIS_TEXT_BYTES];
};
/* redis://[[user]:password@]host[:port][/database], unix:///path[?db=number] with unix://:password@/path, or the path alone. HF_EINVAL with
 * the sentence; rediss:// too, since connections are not encrypted here. */
int hf_redis_address_parse(const char *url, struct hf_redis_address *out, struct hf_failure *failure);

struct hf_redis;
/* HF_EADDR, HF_EDENIED, HF_ENOTFOUND (the client library), HF_ENOMEM, with the sentence. */
int hf_redis_connect(struct hf_redis **out, const struct hf_redis_address *address, struct hf_failure *failure);
void hf_redis_free(struct hf_redis *redis); /* NULL is fine */
/* Sends a command and waits for its answer, which hf_redis_drop frees. NULL: the connection is lost. */
redisReply *hf_redis_ask(struct hf_redis *redis, const struct hf_slice *arguments, size_t count);
/* The next message of a subscription. HF_OK; HF_EWAIT: none came within wait_ms; HF_ECLOSED: the connection is lost. */
int hf_redis_listen(struct hf_redis *redis, int wait_ms, redisReply **out);
/* Sends a command whose answer is read by hf_redis_listen. HF_ECLOSED. */
int hf_redis_tell(struct hf_redis *redis, const char *command);
void hf_redis_drop(const struct hf_redis *redis, redisReply *reply); /* NULL is fine */
/* What frees a reply, also when the connection is gone. */
typedef void hf_redis_dropper(void *reply);
hf_redis_dropper *hf_redis_get_dropper(const struct hf_redis *redis);

#endif
