/* state_redis: the state in a Redis that several gateways share.
 *
 *   <prefix>r, t, f     hashes: key to "<revision> <end> <value>"
 *   <prefix>s           hash of sequences
 *   <prefix>n:<nonce>   with Redis' own expiry
 *   <prefix>k:<name>    secrets
 *   <prefix>revision    the newest revision
 *   <prefix>epoch       random: another one means that Redis lost what it had, and that revisions begin anew
 *   <prefix>changes     the channel: "<space> <revision> <end> <length of key, or -length when deleted>\n<key><value>"
 *
 * A change is one script, so its conditions, its revision and its message are one step for everybody. Two threads wait instead of the loop:
 * one makes changes, in order; the other listens, and whenever it has connected anew it also reads everything, since messages may have
 * been missed. What both bring may come in any order: revisions tell what is newer.
 */
#include "service/gateway/state_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "codec/hex.h"
#include "crypto/secret.h"
#include "service/gateway/redis.h"

#define PREFIX_BYTES_MAX 64
#define NAME_BYTES (PREFIX_BYTES_MAX + HF_STATE_KEY_BYTES_MAX + 16)
#define OP_ARGUMENTS 6
#define EPOCH_BYTES 32
#define LISTEN_MS 100        /* how long closing may wait for the listener */
#define PING_AFTER_MS 5000   /* of silence; as long again is the end of the connection */
#define RETRY_MS_MIN 100
#define RETRY_MS_MAX 3000
#define FAIL_FAST_MS 300     /* after a failed attempt to connect, changes fail without another one */

static struct hf_log_module log_module = HF_LOG_MODULE("state");

static const char change_script[] =
	"local prefix, now = KEYS[1], tonumber(ARGV[1])\n"
	"local function look(space, key)\n"
	"  local text = redis.call('HGET', prefix .. space, key)\n"
	"  if not text then return '0', false end\n"
	"  local revision, stop = string.match(text, '^(%d+) (%d+) ')\n"
	"  stop = tonumber(stop)\n"
	"  return revision, stop == 0 or stop > now\n"
	"end\n"
	"for i = 2, #ARGV, 6 do\n"
	"  local kind, space, key, wanted = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]\n"
	"  if space == 'n' then\n"
	"    if redis.call('EXISTS', prefix .. 'n:' .. key) == 1 then return 'exists' end\n"
	"  else\n"
	"    local revision, alive = look(space, key)\n"
	"    if kind == '2' and alive then return 'exists' end\n"
	"    if kind == '3' and (alive and revision or '0') ~= wanted then return 'busy' end\n"
	"    if kind == '5' and revision ~= wanted then return 'busy' end\n"
	"  end\n"
	"end\n"
	"local revision = string.format('%.0f', redis.call('INCR', prefix .. 'revision'))\n"
	"for i = 2, #ARGV, 6 do\n"
	"  local kind, space, key, value, stop = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 5]\n"
	"  if space == 'n' then\n"
	"    redis.call('SET', prefix .. 'n:' .. key, value, 'PX', string.format('%.0f', math.max(1, tonumber(stop) - now)))\n"
	"  else\n"
	"    local sign = ''\n"
	"    if kind >= 4 then\n"
	"      redis.call('HDEL', prefix .. space, key)\n"
	"      sign, value, stop = '-', '', '0'\n"
	"    else\n"
	"      redis.call('HSET', prefix .. space, key, revision .. ' ' .. stop .. ' ' .. value)\n"
	"    end\n"
	"    redis.call('PUBLISH', prefix .. 'changes', space .. ' ' .. revision .. ' ' .. stop .. ' ' .. sign .. #key .. '\\n' .. key .. value)\n"
	"  end\n"
	"end\n"
	"return revision\n";
static const char read_script[] =
	"local prefix = KEYS[1]\n"
	"redis.call('SETNX', prefix .. 'epoch', ARGV[1])\n"
	"return {redis.call('GET', prefix .. 'epoch'), redis.call('GET', prefix .. 'revision') or '0', redis.call('HGETALL', prefix .. 'r'), "
	"redis.call('HGETALL', prefix .. 't'),"
	" redis.call('HGETALL', prefix .. 'f')}\n";

static const enum hf_state_space mirrored[] = {HF_STATE_RECORDS, HF_STATE_TOKENS, HF_STATE_FAILURES};
#define MIRRORED_COUNT (sizeof mirrored / sizeof *mirrored)

struct shared {
	struct hf_state *state;
	struct hf_redis_address address;
	char prefix[PREFIX_BYTES_MAX + 1];
	char epoch[EPOCH_BYTES + 1];   /* the loop's */
	struct hf_redis *changes;      /* the first thread's; NULL: not connected */
	uint64_t failed_us;            /* when connecting failed last */
	struct hf_executor *changer, *listener;
	struct hf_work listening;
	HF_ATOMIC(bool) is_ending, is_back; /* is_back: the listener reached Redis, so changes may try again at once */
	HF_ATOMIC(bool) has_missed;    /* there was no memory for something that came: all is to be read again */
	HF_ATOMIC(uint32_t) mail_count; /* posted by the listener, not delivered yet */
};

/* What the listener brings to the loop. */
struct news {
	struct hf_loop_mail mail;
	struct shared *shared;
	enum { NEWS_MESSAGE, NEWS_ALL, NEWS_LOST } kind;
	redisReply *reply;
	hf_redis_dropper *drop; /* frees reply, when the connection is gone, too */
};

static struct hf_slice text_of(const redisReply *reply)
{
	return hf_slice(reply->str ? reply->str : "", reply->str ? reply->len : 0);
}

/* ---- Reading what came ---- */

/* "<revision> <end> <rest>" */
static bool take_numbers(struct hf_slice *text, uint64_t *numbers, int count)
{
	for (int i = 0; i < count; i++) {
		const uint8_t *space = memchr(text->data, ' ', text->length);
		size_t length = space ? (size_t)(space - text->data) : 0;
		char digits[24];
		if (length == 0 || length >= sizeof digits)
			return false;
		snprintf(digits, sizeof digits, "%.*s", (int)length, (const char *)text->data);
		if (hf_text_to_u64(digits, &numbers[i]) < 0)
			return false;
		text->data += length + 1;
		text->length -= length + 1;
	}
	return true;
}

/* HF_ENOMEM; what cannot be read does nothing. */
static int apply_message(struct hf_state *s, struct hf_slice text)
{
	uint64_t numbers[2];
	enum hf_state_space space = text.length > 2 ? (enum hf_state_space)text.data[0] : 0;
	if (hf_state_space_index(space) < 0 || text.data[1] != ' ')
		return HF_OK;
	text = hf_slice(text.data + 2, text.length - 2);
	const uint8_t *line = take_numbers(&text, numbers, 2) ? memchr(text.data, '\n', text.length) : NULL;
	char digits[24];
	if (!line || (size_t)(line - text.data) >= sizeof digits)
		return HF_OK;
	bool deletes = text.data[0] == '-';
	uint64_t length;
	snprintf(digits, sizeof digits, "%.*s", (int)(line - text.data) - deletes, (const char *)text.data + deletes);
	struct hf_slice rest = hf_slice(line + 1, text.length - (size_t)(line + 1 - text.data));
	if (hf_text_to_u64(digits, &length) < 0 || length > rest.length)
		return HF_OK;
	struct hf_slice value = deletes ? (struct hf_slice){0} : hf_slice(rest.data + length, rest.length - length);
	return hf_state_apply(s, space, hf_slice(rest.data, length), value, numbers[0], numbers[1]);
}

/* What is in memory, was there before `revision`, and is not in Redis any more. */
static int drop_missing(struct hf_state *s, enum hf_state_space space, const redisReply *hash, uint64_t revision)
{
	struct hf_map *map = &s->spaces[hf_state_space_index(space)], keys;
	struct hf_state_memory **missing = calloc(map->count + 1, sizeof *missing);
	size_t count = 0, cursor = 0;
	int r = missing ? HF_OK : HF_ENOMEM;
	hf_map_init(&keys, map->seed);
	for (size_t i = 0; r == HF_OK && i + 1 < hash->elements; i += 2)
		r = hf_map_put(&keys, text_of(hash->element[i]), hash->element[i], NULL);
	for (struct hf_state_memory *m; r == HF_OK && (m = hf_map_next(map, &cursor)) != NULL;)
		if (m->revision <= revision && !hf_map_get(&keys, hf_slice(m->bytes, m->key_length)))
			missing[count++] = m;
	for (size_t i = 0; r == HF_OK && i < count; i++)
		hf_state_apply(s, space, hf_slice(missing[i]->bytes, missing[i]->key_length), (struct hf_slice){0}, missing[i]->revision + 1, 0);
	hf_map_free(&keys);
	free(missing);
	return r;
}

/* As if all had ended: what comes is new whatever its revision. */
static int forget_all(struct hf_state *s)
{
	const redisReply nothing = {.type = REDIS_REPLY_ARRAY};
	int r = HF_OK;
	for (size_t n = 0; n < MIRRORED_COUNT && r == HF_OK; n++)
		r = drop_missing(s, mirrored[n], &nothing, UINT64_MAX - 1);
	return r;
}

static bool is_whole(const redisReply *reply)
{
	bool right = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 + MIRRORED_COUNT && reply->element[0]->str &&
		reply->element[0]->len == EPOCH_BYTES && reply->element[1]->str;
	for (size_t i = 0; right && i < MIRRORED_COUNT; i++)
		right = reply->element[i + 2]->type == REDIS_REPLY_ARRAY;
	return right;
}

static int apply_hash(struct hf_state *s, enum hf_state_space space, const redisReply *hash)
{
	uint64_t numbers[2];
	int r = HF_OK;
	for (size_t i = 0; i + 1 < hash->elements && r == HF_OK; i += 2) {
		struct hf_slice value = text_of(hash->element[i + 1]);
		if (take_numbers(&value, numbers, 2))
			r = hf_state_apply(s, space, text_of(hash->element[i]), value, numbers[0], numbers[1]);
	}
	return r;
}

/* HF_ENOMEM: it is to be done again. */
static int apply_all(struct hf_state *s, const redisReply *reply)
{
	struct shared *h = s->place_data;
	uint64_t revision = 0;
	int r = hf_text_to_u64(reply->element[1]->str, &revision);
	if (r < 0)
		return HF_OK;
	if (strcmp(h->epoch, reply->element[0]->str) != 0)
		r = forget_all(s);
	if (r == HF_OK)
		snprintf(h->epoch, sizeof h->epoch, "%s", reply->element[0]->str);
	for (size_t n = 0; n < MIRRORED_COUNT && r == HF_OK; n++) {
		r = drop_missing(s, mirrored[n], reply->element[n + 2], revision);
		if (r == HF_OK)
			r = apply_hash(s, mirrored[n], reply->element[n + 2]);
	}
	return r;
}

static redisReply *read_all(struct shared *h, struct hf_redis *redis)
{
	uint8_t bytes[EPOCH_BYTES / 2];
	char epoch[EPOCH_BYTES];
	h->state->env->random(h->state->env, bytes, sizeof bytes);
	hf_hex_encode(epoch, bytes, sizeof bytes);
	return hf_redis_ask(redis, (const struct hf_slice[]){HF_SLICE_LITERAL("EVAL"), HF_SLICE_LITERAL(read_script), HF_SLICE_LITERAL("1"),
		hf_slice_text(h->prefix), hf_slice(epoch, sizeof epoch)}, 5);
}

/* ---- Changes ---- */

static int connect_changes(struct shared *h, struct hf_failure *failure)
{
	uint64_t now = hf_env_monotonic_us(h->state->env);
	if (h->changes)
		return HF_OK;
	if (atomic_exchange(&h->is_back, false))
		h->failed_us = 0;
	if (h->failed_us != 0 && now - h->failed_us < FAIL_FAST_MS * 1000u)
		return HF_EADDR;
	int r = hf_redis_connect(&h->changes, &h->address, failure);
	h->failed_us = r < 0 ? hf_env_monotonic_us(h->state->env) : 0;
	return r;
}

static void disconnect_changes(struct shared *h)
{
	hf_redis_free(h->changes);
	h->changes = NULL;
}

/* Fills arguments and the texts that they point to; returns their number. */
static size_t write_arguments(const struct shared *h, const struct hf_state_change *c, struct hf_slice *arguments, char (*texts)[24])
{
	size_t count = 0;
	arguments[count++] = HF_SLICE_LITERAL("EVAL");
	arguments[count++] = HF_SLICE_LITERAL(change_script);
	arguments[count++] = HF_SLICE_LITERAL("1");
	arguments[count++] = hf_slice_text(h->prefix);
	snprintf(*texts, sizeof *texts, "%llu", (unsigned long long)c->now_ms);
	arguments[count++] = hf_slice_text(*texts++);
	for (size_t i = 0; i < c->op_count; i++) {
		const struct hf_state_op *op = &c->ops[i];
		snprintf(texts[0], sizeof texts[0], "%d", (int)op->kind);
		snprintf(texts[1], sizeof texts[1], "%c", (char)op->space);
		snprintf(texts[2], sizeof texts[2], "%llu", (unsigned long long)op->revision);
		snprintf(texts[3], sizeof texts[3], "%llu", (unsigned long long)op->end_ms);
		arguments[count++] = hf_slice_text(texts[0]);
		arguments[count++] = hf_slice_text(texts[1]);
		arguments[count++] = op->key;
		arguments[count++] = op->value;
		arguments[count++] = hf_slice_text(texts[2]);
		arguments[count++] = hf_slice_text(texts[3]);
		texts += 4;
	}
	return count;
}

static redisReply *ask_change(struct shared *h, const struct hf_state_change *c)
{
	struct hf_slice arguments[5 + HF_STATE_OPS_MAX * OP_ARGUMENTS];
	char texts[1 + HF_STATE_OPS_MAX * 4][24], name[NAME_BYTES];
	if (c->is_next) {
		snprintf(name, sizeof name, "%ss", h->prefix);
		return hf_redis_ask(h->changes, (const struct hf_slice[]){HF_SLICE_LITERAL("HINCRBY"), hf_slice_text(name), c->ops[0].key,
			HF_SLICE_LITERAL("1")}, 4);
	}
	return hf_redis_ask(h->changes, arguments, write_arguments(h, c, arguments, texts));
}

/* The reply of the script, or of HINCRBY. */
static int read_outcome(struct hf_state_change *c, const redisReply *reply)
{
	if (c->is_next && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0) {
		c->number = (uint64_t)reply->integer;
		return HF_OK;
	}
	if (c->is_next || reply->type != REDIS_REPLY_STRING) {
		hf_log_warn(&log_module, "Redis refused a change", "answer=\"%.120s\"", reply->str ? reply->str : "");
		return HF_EIO;
	}
	if (strcmp(reply->str, "exists") == 0)
		return HF_EEXISTS;
	if (strcmp(reply->str, "busy") == 0)
		return HF_EBUSY;
	return hf_text_to_u64(reply->str, &c->revision) == HF_OK ? HF_OK : HF_EIO;
}

/* Whether a change may be made a second time when it is not known whether it was made. */
static bool may_repeat(const struct hf_state_change *c)
{
	for (size_t i = 0; i < c->op_count; i++)
		if (c->ops[i].kind == HF_STATE_PUT_NEW)
			return false;
	return true;
}

static void run_change(struct hf_work *work)
{
	struct hf_state_change *c = HF_CONTAINER_OF(work, struct hf_state_change, work);
	struct shared *h = c->state->place_data;
	c->status = HF_EIO;
	for (int tries = 0; tries < 2; tries++) {
		if (connect_changes(h, NULL) < 0)
			break;
		redisReply *reply = ask_change(h, c);
		if (reply) {
			c->status = read_outcome(c, reply);
			hf_redis_drop(h->changes, reply);
			break;
		}
		disconnect_changes(h);
		if (!may_repeat(c))
			break;
	}
	hf_state_return(c);
}

static void submit(struct hf_state *s, struct hf_state_change *c)
{
	struct shared *h = s->place_data;
	c->work.run = run_change;
	if (h->changer->submit(h->changer, &c->work) < 0) {
		c->status = HF_EBUSY;
		hf_state_return(c);
	}
}

/* ---- Listening ---- */

static void take_news(struct hf_loop_mail *mail)
{
	struct news *n = HF_CONTAINER_OF(mail, struct news, mail);
	struct hf_state *s = n->shared->state;
	int r = HF_OK;
	if (n->kind == NEWS_ALL)
		r = apply_all(s, n->reply);
	else if (n->kind == NEWS_MESSAGE)
		r = apply_message(s, text_of(n->reply->element[2]));
	if (r < 0)
		atomic_store(&n->shared->has_missed, true);
	if (n->kind != NEWS_MESSAGE && s->is_connected != (n->kind == NEWS_ALL)) {
		s->is_connected = n->kind == NEWS_ALL;
		hf_gauge_set(&s->connected_gauge, s->is_connected);
		if (s->is_connected)
			hf_log_info(&log_module, "Redis is back", NULL);
		else
			hf_log_warn(&log_module, "Redis is away: what is known is served, changes are refused", NULL);
	}
	if (n->reply)
		n->drop(n->reply);
	atomic_fetch_sub(&n->shared->mail_count, 1);
	free(n);
}

/* Takes reply, which may be NULL. */
static bool post(struct shared *h, int kind, const struct hf_redis *redis, redisReply *reply)
{
	struct news *n = calloc(1, sizeof *n);
	if (!n) {
		hf_redis_drop(redis, reply);
		return false;
	}
	n->mail.deliver = take_news;
	n->shared = h;
	n->kind = kind;
	n->reply = reply;
	n->drop = redis ? hf_redis_get_dropper(redis) : NULL;
	atomic_fetch_add(&h->mail_count, 1);
	hf_loop_post(h->state->loop, &n->mail);
	return true;
}

/* All there is, by a connection of its own, since a listening one takes no other commands. */
static bool send_all(struct shared *h)
{
	struct hf_redis *redis;
	if (hf_redis_connect(&redis, &h->address, NULL) < 0)
		return false;
	redisReply *reply = read_all(h, redis);
	bool is_sent = is_whole(reply);
	atomic_store(&h->is_back, is_sent);
	if (is_sent)
		is_sent = post(h, NEWS_ALL, redis, reply);
	else
		hf_redis_drop(redis, reply);
	hf_redis_free(redis);
	return is_sent;
}

/* A reply on the listening connection: the confirmation, a pong or a message. False: not to be gone on with. */
static bool take_reply(struct shared *h, struct hf_redis *redis, redisReply *reply)
{
	bool is_message = reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->str && reply->element[2]->str &&
		strcmp(reply->element[0]->str, "message") == 0;
	bool is_begin = reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->str &&
		strcmp(reply->element[0]->str, "subscribe") == 0;
	bool is_error = reply->type == REDIS_REPLY_ERROR;
	if (is_message)
		return post(h, NEWS_MESSAGE, redis, reply);
	hf_redis_drop(redis, reply);
	return !is_error && (!is_begin || send_all(h));
}

/* If something was missed; not all the time, where it is missed all the time. */
static bool read_again(struct shared *h, uint64_t *read_us)
{
	uint64_t now_us = hf_env_monotonic_us(h->state->env);
	if (!atomic_load(&h->has_missed) || now_us - *read_us < RETRY_MS_MAX * 1000u)
		return true;
	*read_us = now_us;
	atomic_store(&h->has_missed, false);
	return send_all(h);
}

/* Until the connection is lost or everything ends. */
static void listen_on(struct shared *h, struct hf_redis *redis)
{
	unsigned silent_ms = 0;
	uint64_t read_us = 0;
	while (!atomic_load(&h->is_ending)) {
		redisReply *reply;
		int r = hf_redis_listen(redis, LISTEN_MS, &reply);
		if (r == HF_ECLOSED || (r == HF_OK && !take_reply(h, redis, reply)))
			return;
		if (!read_again(h, &read_us))
			return;
		silent_ms = r == HF_OK ? 0 : silent_ms + LISTEN_MS;
		if (silent_ms == PING_AFTER_MS && hf_redis_tell(redis, "PING") < 0)
			return;
		if (silent_ms >= 2 * PING_AFTER_MS)
			return;
	}
}

static void listen_once(struct shared *h)
{
	char command[PREFIX_BYTES_MAX + 32];
	struct hf_redis *redis;
	if (hf_redis_connect(&redis, &h->address, NULL) < 0)
		return;
	snprintf(command, sizeof command, "SUBSCRIBE %schanges", h->prefix);
	if (hf_redis_tell(redis, command) == HF_OK)
		listen_on(h, redis);
	hf_redis_free(redis);
}

static void run_listener(struct hf_work *work)
{
	struct shared *h = HF_CONTAINER_OF(work, struct shared, listening);
	unsigned wait_ms = RETRY_MS_MIN;
	while (!atomic_load(&h->is_ending)) {
		uint64_t begun_us = hf_env_monotonic_us(h->state->env);
		listen_once(h);
		if (atomic_load(&h->is_ending))
			break;
		post(h, NEWS_LOST, NULL, NULL);
		wait_ms = hf_env_monotonic_us(h->state->env) - begun_us > 10000000 ? RETRY_MS_MIN : wait_ms;
		for (unsigned waited = 0; waited < wait_ms && !atomic_load(&h->is_ending); waited += RETRY_MS_MIN)
			nanosleep(&(struct timespec){.tv_nsec = RETRY_MS_MIN * 1000000L}, NULL);
		wait_ms = wait_ms * 2 < RETRY_MS_MAX ? wait_ms * 2 : RETRY_MS_MAX;
	}
}

/* ---- The whole ---- */

static int secret(struct hf_state *s, const char *name, uint8_t out[static 32], struct hf_failure *failure)
{
	struct shared *h = s->place_data;
	char key[NAME_BYTES], text[64];
	uint8_t bytes[32];
	s->env->random(s->env, bytes, sizeof bytes);
	hf_hex_encode(text, bytes, sizeof bytes);
	snprintf(key, sizeof key, "%sk:%s", h->prefix, name);
	struct hf_redis *redis;
	int r = hf_redis_connect(&redis, &h->address, failure);
	if (r < 0)
		return r;
	hf_redis_drop(redis, hf_redis_ask(redis, (const struct hf_slice[]){HF_SLICE_LITERAL("SETNX"), hf_slice_text(key), hf_slice(text,
		sizeof text)}, 3));
	redisReply *reply = hf_redis_ask(redis, (const struct hf_slice[]){HF_SLICE_LITERAL("GET"), hf_slice_text(key)}, 2);
	bool is_right = reply && reply->type == REDIS_REPLY_STRING && reply->len == sizeof text && hf_hex_decode(out, reply->str, 32);
	hf_redis_drop(redis, reply);
	hf_redis_free(redis);
	return is_right ? HF_OK : hf_fail(failure, HF_EIO, "The secret %s cannot be kept in Redis.", name);
}

static void close_shared(struct hf_state *s)
{
	struct shared *h = s->place_data;
	atomic_store(&h->is_ending, true);
	if (h->listener)
		hf_executor_stop(h->listener);
	if (h->changer)
		hf_executor_stop(h->changer);
	while (atomic_load(&h->mail_count) > 0)
		hf_loop_poll(s->loop, false);
	disconnect_changes(h);
	hf_wipe(h, sizeof *h);
	free(h);
}

static const struct hf_state_place place = {.submit = submit, .secret = secret, .close = close_shared};

static int start(struct shared *h, struct hf_failure *failure)
{
	int r = connect_changes(h, failure);
	if (r < 0)
		return r;
	redisReply *reply = read_all(h, h->changes);
	if (is_whole(reply))
		r = apply_all(h->state, reply) < 0 ? hf_fail(failure, HF_ENOMEM, "Out of memory while reading the registrations from Redis.") : HF_OK;
	else
		r = hf_fail(failure, HF_EIO, "Redis does not give the registrations: %.200s.", reply && reply->str ? reply->str : "no answer");
	hf_redis_drop(h->changes, reply);
	if (r == HF_OK)
		r = hf_executor_start(&h->changer, "redis", 1, HF_STATE_PENDING_MAX + HF_STATE_SWEEP_OPS);
	if (r == HF_OK)
		r = hf_executor_start(&h->listener, "redis-news", 1, 1);
	h->listening.run = run_listener;
	if (r == HF_OK)
		r = h->listener->submit(h->listener, &h->listening);
	return r < 0 && failure && !failure->text[0] ? hf_fail(failure, r, "The threads for Redis cannot start: %s.", hf_error_text(r)) : r;
}

int hf_state_redis_open(struct hf_state *s, const char *url, const char *prefix, struct hf_failure *failure)
{
	struct shared *h = calloc(1, sizeof *h);
	if (!h)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while opening the shared state.");
	h->state = s;
	s->place = &place;
	s->place_data = h;
	s->is_connected = true;
	int r = hf_redis_address_parse(url, &h->address, failure);
	if (r == HF_OK && strlen(prefix) > PREFIX_BYTES_MAX)
		r = hf_fail(failure, HF_EINVAL, "The prefix for Redis has more than %d characters.", PREFIX_BYTES_MAX);
	if (r == HF_OK) {
		snprintf(h->prefix, sizeof h->prefix, "%s", prefix);
		r = start(h, failure);
	}
	if (r < 0)
		close_shared(s);
	return r;
}
