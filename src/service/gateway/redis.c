/* redis: the few functions of hiredis that are needed, found by name; its structs are those of the header that this was compiled with, so
 * only the library of that version is loaded. */
#include "service/gateway/redis.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

#define TEXT_OF(x) TEXT_OF_VALUE(x)
#define TEXT_OF_VALUE(x) #x
#define LIBRARY "libhiredis.so." TEXT_OF(HIREDIS_SONAME)
#define PORT_DEFAULT 6379

struct hf_redis {
	void *library;
	redisContext *context;
	redisContext *(*connect)(const char *host, int port, const struct timeval timeout);
	redisContext *(*connect_unix)(const char *path, const struct timeval timeout);
	int (*set_timeout)(redisContext *context, const struct timeval timeout);
	int (*append)(redisContext *context, int count, const char **arguments, const size_t *lengths);
	void *(*command)(redisContext *context, int count, const char **arguments, const size_t *lengths);
	int (*buffer_write)(redisContext *context, int *done);
	int (*buffer_read)(redisContext *context);
	int (*next_reply)(redisContext *context, void **reply);
	hf_redis_dropper *free_reply;
	void (*free_context)(redisContext *context);
};

/* ---- Addresses ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Percent-decodes [from, to) into out. */
static bool take_part(const char *from, const char *to, char out[static HF_REDIS_TEXT_BYTES])
{
	size_t length = 0;
	for (; from < to; from++) {
		char c = *from;
		if (c == '%' && to - from > 2 && hex_digit(from[1]) >= 0 && hex_digit(from[2]) >= 0) {
			c = (char)(hex_digit(from[1]) * 16 + hex_digit(from[2]));
			from += 2;
		}
		if (c == '\0' || length + 1 >= HF_REDIS_TEXT_BYTES)
			return false;
		out[length++] = c;
	}
	out[length] = '\0';
	return true;
}

/* "user:password@" in front of *at; nothing is fine. */
static bool take_credentials(const char **at, const char *end, struct hf_redis_address *out)
{
	const char *sign = memrchr(*at, '@', (size_t)(end - *at));
	if (!sign)
		return true;
	const char *colon = memchr(*at, ':', (size_t)(sign - *at));
	if (!colon || !take_part(*at, colon, out->user) || !take_part(colon + 1, sign, out->password))
		return false;
	*at = sign + 1;
	return true;
}

static bool take_database(const char *text, struct hf_redis_address *out)
{
	uint64_t number = 0;
	if (*text && (hf_text_to_u64(text, &number) < 0 || number > 65535))
		return false;
	out->database = (unsigned)number;
	return true;
}

static bool parse_tcp(const char *at, struct hf_redis_address *out)
{
	const char *end = at + strcspn(at, "/");
	uint64_t port = PORT_DEFAULT;
	char text[HF_REDIS_TEXT_BYTES];
	if (!take_credentials(&at, end, out) || !take_database(*end ? end + 1 : end, out))
		return false;
	const char *close = *at == '[' ? memchr(at, ']', (size_t)(end - at)) : NULL;
	const char *colon = close ? (close + 1 < end && close[1] == ':' ? close + 1 : NULL) : memchr(at, ':', (size_t)(end - at));
	if (!take_part(close ? at + 1 : at, close ? close : colon ? colon : end, out->host) || out->host[0] == '\0')
		return false;
	if (colon && (!take_part(colon + 1, end, text) || hf_text_to_u64(text, &port) < 0 || port == 0 || port > 65535))
		return false;
	out->port = (int)port;
	return true;
}

static bool parse_unix(const char *at, struct hf_redis_address *out)
{
	const char *question = strchr(at, '?'), *end = question ? question : at + strlen(at);
	const char *slash = memchr(at, '/', (size_t)(end - at));
	if (!slash || !take_credentials(&at, slash, out) || !take_part(at, end, out->path) || out->path[0] != '/')
		return false;
	return !question || (strncmp(question, "?db=", 4) == 0 && take_database(question + 4, out));
}

int hf_redis_address_parse(const char *url, struct hf_redis_address *out, struct hf_failure *failure)
{
	bool is_right;
	*out = (struct hf_redis_address){0};
	if (strncmp(url, "rediss://", 9) == 0)
		return hf_fail(failure, HF_EINVAL, "Redis over TLS (rediss://) is not spoken here. Use a Unix socket, a private network, or a TLS "
			"tunnel such as stunnel that listens on 127.0.0.1, and redis://127.0.0.1:PORT.");
	if (strncmp(url, "redis://", 8) == 0)
		is_right = parse_tcp(url + 8, out);
	else if (strncmp(url, "unix://", 7) == 0)
		is_right = parse_unix(url + 7, out);
	else
		is_right = url[0] == '/' && parse_unix(url, out);
	return is_right ? HF_OK : hf_fail(failure, HF_EINVAL, "The Redis address is not one: write "
		"redis://[user:password@]host[:port][/database] or "
		"unix:///path[?db=number].");
}

/* ---- Connections ---- */

static int load(struct hf_redis *r, struct hf_failure *failure)
{
	const struct { const char *name; void *place; } functions[] = {
		{"redisConnectWithTimeout", &r->connect}, {"redisConnectUnixWithTimeout", &r->connect_unix}, {"redisSetTimeout", &r->set_timeout},
		{"redisAppendCommandArgv", &r->append}, {"redisCommandArgv", &r->command}, {"redisBufferWrite", &r->buffer_write},
		{"redisBufferRead", &r->buffer_read}, {"redisGetReplyFromReader", &r->next_reply}, {"freeReplyObject", &r->free_reply},
		{"redisFree", &r->free_context}};
	r->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!r->library)
		return hf_fail(failure, HF_ENOTFOUND, "Redis is configured, but its client library %s is not installed (Debian: libhiredis0.14).",
			LIBRARY);
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		void *symbol = dlsym(r->library, functions[i].name);
		if (!symbol)
			return hf_fail(failure, HF_ENOTFOUND, "The Redis client library %s has no %s.", LIBRARY, functions[i].name);
		memcpy(functions[i].place, &symbol, sizeof symbol);
	}
	return HF_OK;
}

/* A command of the beginning, which must not be refused. */
static int expect(struct hf_redis *r, const struct hf_slice *arguments, size_t count, struct hf_failure *failure)
{
	redisReply *reply = hf_redis_ask(r, arguments, count);
	int status = HF_OK;
	if (!reply)
		status = hf_fail(failure, HF_EADDR, "Redis closed the connection.");
	else if (reply->type == REDIS_REPLY_ERROR)
		status = hf_fail(failure, HF_EDENIED, "Redis refuses %.*s: %.200s.", (int)arguments[0].length, (const char *)arguments[0].data,
			reply->str);
	hf_redis_drop(r, reply);
	return status;
}

static int introduce(struct hf_redis *r, const struct hf_redis_address *address, struct hf_failure *failure)
{
	struct hf_slice password = hf_slice_text(address->password), user = hf_slice_text(address->user);
	char number[16];
	int status = HF_OK;
	if (password.length > 0 && user.length > 0)
		status = expect(r, (const struct hf_slice[]){HF_SLICE_LITERAL("AUTH"), user, password}, 3, failure);
	else if (password.length > 0)
		status = expect(r, (const struct hf_slice[]){HF_SLICE_LITERAL("AUTH"), password}, 2, failure);
	snprintf(number, sizeof number, "%u", address->database);
	if (status == HF_OK && address->database > 0)
		status = expect(r, (const struct hf_slice[]){HF_SLICE_LITERAL("SELECT"), hf_slice_text(number)}, 2, failure);
	return status == HF_OK ? expect(r, (const struct hf_slice[]){HF_SLICE_LITERAL("PING")}, 1, failure) : status;
}

int hf_redis_connect(struct hf_redis **out, const struct hf_redis_address *address, struct hf_failure *failure)
{
	const struct timeval timeout = {.tv_sec = HF_REDIS_TIMEOUT_MS / 1000, .tv_usec = HF_REDIS_TIMEOUT_MS % 1000 * 1000};
	struct hf_redis *r = calloc(1, sizeof *r);
	*out = NULL;
	if (!r)
		return hf_fail(failure, HF_ENOMEM, "Out of memory.");
	int status = load(r, failure);
	if (status == HF_OK) {
		r->context = address->path[0] ? r->connect_unix(address->path, timeout) : r->connect(address->host, address->port, timeout);
		if (!r->context || r->context->err)
			status = hf_fail(failure, HF_EADDR, "Redis cannot be reached at %s: %s.", address->path[0] ? address->path : address->host,
				r->context ? r->context->errstr : "out of memory");
		else
			r->set_timeout(r->context, timeout);
	}
	if (status == HF_OK)
		status = introduce(r, address, failure);
	if (status < 0) {
		hf_redis_free(r);
		return status;
	}
	*out = r;
	return HF_OK;
}

/* The library stays loaded while the process lives: its constants may still be pointed to. */
void hf_redis_free(struct hf_redis *r)
{
	if (r && r->context)
		r->free_context(r->context);
	free(r);
}

redisReply *hf_redis_ask(struct hf_redis *r, const struct hf_slice *arguments, size_t count)
{
	const char *texts[HF_REDIS_ARGUMENTS_MAX];
	size_t lengths[HF_REDIS_ARGUMENTS_MAX];
	if (count > HF_REDIS_ARGUMENTS_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		texts[i] = arguments[i].length > 0 ? (const char *)arguments[i].data : "";
		lengths[i] = arguments[i].length;
	}
	return r->command(r->context, (int)count, texts, lengths);
}

int hf_redis_tell(struct hf_redis *r, const char *command)
{
	const char *words[4];
	size_t lengths[4];
	int count = 0, done = 0;
	for (const char *at = command; *at && count < 4;) {
		words[count] = at;
		lengths[count] = strcspn(at, " ");
		at += lengths[count++];
		at += strspn(at, " ");
	}
	if (r->append(r->context, count, words, lengths) != REDIS_OK)
		return HF_ECLOSED;
	while (!done)
		if (r->buffer_write(r->context, &done) != REDIS_OK)
			return HF_ECLOSED;
	return HF_OK;
}

int hf_redis_listen(struct hf_redis *r, int wait_ms, redisReply **out)
{
	struct pollfd poller = {.fd = r->context->fd, .events = POLLIN};
	void *reply = NULL;
	*out = NULL;
	if (r->next_reply(r->context, &reply) != REDIS_OK)
		return HF_ECLOSED;
	if (!reply) {
		if (poll(&poller, 1, wait_ms) <= 0)
			return HF_EWAIT;
		if (r->buffer_read(r->context) != REDIS_OK || r->next_reply(r->context, &reply) != REDIS_OK)
			return HF_ECLOSED;
	}
	*out = reply;
	return reply ? HF_OK : HF_EWAIT;
}

void hf_redis_drop(const struct hf_redis *r, redisReply *reply)
{
	if (reply)
		r->free_reply(reply);
}

hf_redis_dropper *hf_redis_get_dropper(const struct hf_redis *r)
{
	return r->free_reply;
}
