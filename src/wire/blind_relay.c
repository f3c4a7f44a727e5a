/* A pair is known by its token as long as it lives, and each half by its session, which has at most a handful of them. */
#include "wire/blind_relay.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"

enum pair_bits { IS_INITIATOR = 1 };

/* ---- Messages ---- */

int hf_blind_relay_pair_encode(const struct hf_blind_relay_pair *pair, struct hf_buffer *buffer)
{
	struct hf_compact_writer out = hf_compact_writer(buffer);

	hf_compact_write_uint_bits(&out, pair->is_initiator ? IS_INITIATOR : 0, 8);
	hf_compact_write_fixed(&out, pair->token, sizeof pair->token);
	hf_compact_write_uint(&out, pair->id);
	hf_compact_write_uint(&out, pair->seq);
	return out.status;
}

static void read_token(struct hf_compact_reader *in, uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES])
{
	const uint8_t *bytes = hf_compact_read_fixed(in, HF_BLIND_RELAY_TOKEN_BYTES);

	if (bytes != NULL)
		memcpy(token, bytes, HF_BLIND_RELAY_TOKEN_BYTES);
}

static uint32_t read_u32(struct hf_compact_reader *in)
{
	uint64_t number = hf_compact_read_uint(in);

	if (number > UINT32_MAX)
		hf_compact_fail(in, HF_ETOOBIG);
	return (uint32_t)number;
}

int hf_blind_relay_pair_decode(struct hf_slice body, struct hf_blind_relay_pair *pair)
{
	struct hf_compact_reader in = hf_compact_reader(body);

	memset(pair, 0, sizeof *pair);
	pair->is_initiator = hf_compact_read_uint_bits(&in, 8) & IS_INITIATOR;
	read_token(&in, pair->token);
	pair->id = read_u32(&in);
	pair->seq = read_u32(&in);
	return in.status;
}

int hf_blind_relay_unpair_encode(const uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES], struct hf_buffer *buffer)
{
	struct hf_compact_writer out = hf_compact_writer(buffer);

	hf_compact_write_uint_bits(&out, 0, 8);
	hf_compact_write_fixed(&out, token, HF_BLIND_RELAY_TOKEN_BYTES);
	return out.status;
}

int hf_blind_relay_unpair_decode(struct hf_slice body, uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES])
{
	struct hf_compact_reader in = hf_compact_reader(body);

	hf_compact_read_uint_bits(&in, 8);
	read_token(&in, token);
	return in.status;
}

static int send_pair(struct hf_channel *channel, const struct hf_blind_relay_pair *pair)
{
	struct hf_buffer body = {0};
	int error = hf_blind_relay_pair_encode(pair, &body);
	struct iovec part = {body.data, body.length};

	if (error == HF_OK)
		error = hf_channel_send(channel, HF_BLIND_RELAY_PAIR, &part, 1);
	hf_buffer_free(&body);
	return error;
}

static int open_channel(struct hf_channel **channel, struct hf_protomux *mux, const uint8_t *key, const struct hf_channel_events *events,
	void *context)
{
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL(HF_BLIND_RELAY_PROTOCOL),
		.id = hf_slice(key, HF_BLIND_RELAY_KEY_BYTES), .events = events, .context = context};

	return hf_protomux_open(mux, &options, channel);
}

/* ---- The side that asks ---- */

struct hf_blind_relay_client {
	struct hf_channel *channel; /* NULL: closed */
	const struct hf_blind_relay_client_events *events; /* NULL: nobody listens */
	void *context;
};

static int on_answer(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_blind_relay_client *client = context;
	struct hf_blind_relay_pair pair;

	if (type != HF_BLIND_RELAY_PAIR)
		return HF_OK;
	int error = hf_blind_relay_pair_decode(body, &pair);
	if (error == HF_OK && client->events != NULL)
		client->events->paired(client->context, &pair);
	return error;
}

/* When the owner has let go, or does not have it yet, the struct goes here. */
static void on_client_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_blind_relay_client *client = context;
	const struct hf_blind_relay_client_events *events = client->events;

	client->channel = NULL;
	if (events != NULL)
		events->closed(client->context);
	else
		free(client);
}

static const struct hf_channel_events client_events = {.message_types = 2, .message = on_answer, .close = on_client_close};

int hf_blind_relay_client_open(struct hf_blind_relay_client **out, struct hf_protomux *mux,
	const uint8_t key[static HF_BLIND_RELAY_KEY_BYTES], const struct hf_blind_relay_client_events *events, void *context)
{
	struct hf_blind_relay_client *client = calloc(1, sizeof *client);

	*out = NULL;
	if (client == NULL)
		return HF_ENOMEM;
	int error = open_channel(&client->channel, mux, key, &client_events, client);
	if (error == HF_ECANCELED)
		return HF_ECLOSED; /* closed again, and freed by that */
	if (error != HF_OK) {
		free(client);
		return error;
	}
	client->events = events;
	client->context = context;
	*out = client;
	return HF_OK;
}

void hf_blind_relay_client_free(struct hf_blind_relay_client *client)
{
	if (client == NULL)
		return;
	client->events = NULL;
	if (client->channel != NULL)
		hf_channel_close(client->channel);
	else
		free(client);
}

int hf_blind_relay_client_pair(struct hf_blind_relay_client *client, const struct hf_blind_relay_pair *pair)
{
	return client->channel != NULL ? send_pair(client->channel, pair) : HF_ECLOSED;
}

int hf_blind_relay_client_unpair(
	struct hf_blind_relay_client *client, const uint8_t token[static HF_BLIND_RELAY_TOKEN_BYTES])
{
	struct hf_buffer body = {0};
	int error = client->channel != NULL ? hf_blind_relay_unpair_encode(token, &body) : HF_ECLOSED;
	struct iovec part = {body.data, body.length};

	if (error == HF_OK)
		error = hf_channel_send(client->channel, HF_BLIND_RELAY_UNPAIR, &part, 1);
	hf_buffer_free(&body);
	return error;
}

/* ---- The relay ---- */

struct pair {
	uint8_t token[HF_BLIND_RELAY_TOKEN_BYTES];
	struct hf_blind_relay *relay;
	struct pair *next, *previous;
	struct hf_blind_relay_session *halves[2]; /* by whether it is the initiator's; NULL: not there */
	uint32_t remote_ids[2];
	bool is_joined;
	void *link;
};
struct hf_blind_relay_session {
	struct hf_blind_relay *relay;
	struct hf_blind_relay_session *next, *previous;
	struct hf_channel *channel;
	uint32_t half_count;
};
struct hf_blind_relay {
	struct hf_blind_relay_limits limits;
	const struct hf_blind_relay_events *events;
	void *context;
	struct hf_map by_token;
	struct pair *pairs;
	struct hf_blind_relay_session *sessions;
	struct hf_blind_relay_stats stats;
};

static void drop_pair(struct pair *pair, bool leaves)
{
	struct hf_blind_relay *relay = pair->relay;
	void *link = pair->link;
	bool was_joined = pair->is_joined;

	for (int half = 0; half < 2; half++)
		if (pair->halves[half] != NULL)
			pair->halves[half]->half_count--;
	hf_map_remove(&relay->by_token, hf_slice(pair->token, sizeof pair->token));
	HF_LIST_REMOVE(relay->pairs, pair);
	free(pair);
	if (was_joined)
		relay->stats.joined_count--;
	else
		relay->stats.waiting_count--;
	if (was_joined && leaves)
		relay->events->leave(relay->context, link);
}

static void drop_pairs_of(struct hf_blind_relay_session *session)
{
	struct pair *next;

	for (struct pair *pair = session->relay->pairs; pair != NULL; pair = next) {
		next = pair->next;
		if (pair->halves[0] != session && pair->halves[1] != session)
			continue;
		session->relay->stats.pairs_cancelled += !pair->is_joined;
		drop_pair(pair, true);
	}
}

static struct pair *new_pair(struct hf_blind_relay *relay, const uint8_t *token)
{
	struct pair *pair = relay->by_token.count < relay->limits.pair_count_max ? calloc(1, sizeof *pair) : NULL;

	if (pair == NULL)
		return NULL;
	memcpy(pair->token, token, sizeof pair->token);
	pair->relay = relay;
	if (hf_map_put(&relay->by_token, hf_slice(pair->token, sizeof pair->token), pair, NULL) != HF_OK) {
		free(pair);
		return NULL;
	}
	HF_LIST_PUSH(relay->pairs, pair);
	relay->stats.waiting_count++;
	return pair;
}

static void join(struct pair *pair)
{
	struct hf_blind_relay *relay = pair->relay;
	uint32_t ids[2] = {0};

	if (relay->events->join(relay->context, pair->remote_ids, ids, &pair->link) != HF_OK) {
		relay->stats.pairs_refused++;
		drop_pair(pair, false);
		return;
	}
	pair->is_joined = true;
	relay->stats.waiting_count--;
	relay->stats.joined_count++;
	relay->stats.pairs_joined++;
	for (int half = 0; half < 2; half++) {
		struct hf_blind_relay_pair answer = {.is_initiator = half == 1, .id = ids[half]};
		memcpy(answer.token, pair->token, sizeof answer.token);
		send_pair(pair->halves[half]->channel, &answer); /* if it fails the mux ends, and the pair with it */
	}
}

static void take_half(struct hf_blind_relay_session *session, const struct hf_blind_relay_pair *asked)
{
	struct hf_blind_relay *relay = session->relay;
	struct pair *pair = hf_map_get(&relay->by_token, hf_slice(asked->token, sizeof asked->token));

	if (pair != NULL && (pair->is_joined || pair->halves[asked->is_initiator] != NULL))
		return;
	if (pair == NULL && session->half_count < relay->limits.session_pairs_max)
		pair = new_pair(relay, asked->token);
	if (pair == NULL || session->half_count == relay->limits.session_pairs_max) {
		relay->stats.pairs_refused++;
		return;
	}
	relay->stats.pairs++;
	session->half_count++;
	pair->halves[asked->is_initiator] = session;
	pair->remote_ids[asked->is_initiator] = asked->id;
	if (pair->halves[!asked->is_initiator] != NULL)
		join(pair);
}

static int on_request(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct hf_blind_relay_session *session = context;
	struct hf_blind_relay *relay = session->relay;
	struct hf_blind_relay_pair asked;

	if (type == HF_BLIND_RELAY_PAIR) {
		int error = hf_blind_relay_pair_decode(body, &asked);
		if (error == HF_OK)
			take_half(session, &asked);
		return error;
	}
	int error = hf_blind_relay_unpair_decode(body, asked.token);
	struct pair *pair = error == HF_OK ? hf_map_get(&relay->by_token, hf_slice(asked.token, sizeof asked.token)) : NULL;
	if (pair != NULL && (pair->halves[0] == session || pair->halves[1] == session)) {
		relay->stats.pairs_cancelled++;
		drop_pair(pair, true);
	}
	return error;
}

static void on_session_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct hf_blind_relay_session *session = context;

	drop_pairs_of(session);
	session->relay->stats.session_count--;
	HF_LIST_REMOVE(session->relay->sessions, session);
	free(session);
}

static const struct hf_channel_events session_events = {.message_types = 2, .message = on_request, .close = on_session_close};

int hf_blind_relay_accept(
	struct hf_blind_relay *relay, struct hf_protomux *mux, const uint8_t remote_key[static HF_BLIND_RELAY_KEY_BYTES])
{
	struct hf_blind_relay_session *session;

	if (relay->stats.session_count >= relay->limits.session_count_max) {
		relay->stats.sessions_refused++;
		return HF_EBUSY;
	}
	session = calloc(1, sizeof *session);
	if (session == NULL)
		return HF_ENOMEM;
	session->relay = relay;
	HF_LIST_PUSH(relay->sessions, session);
	relay->stats.session_count++;
	relay->stats.sessions++;
	int error = open_channel(&session->channel, mux, remote_key, &session_events, session);
	if (error == HF_OK || error == HF_ECANCELED)
		return error; /* of the latter it was told, and is gone */
	relay->stats.session_count--;
	HF_LIST_REMOVE(relay->sessions, session);
	free(session);
	return error;
}

void hf_blind_relay_left(struct hf_blind_relay *relay, void *link)
{
	for (struct pair *pair = relay->pairs; pair != NULL; pair = pair->next)
		if (pair->is_joined && pair->link == link) {
			drop_pair(pair, false);
			return;
		}
}

int hf_blind_relay_new(struct hf_blind_relay **out, const struct hf_blind_relay_options *options)
{
	struct hf_blind_relay *relay = *out = calloc(1, sizeof *relay);

	if (relay == NULL)
		return HF_ENOMEM;
	if (options->limits != NULL)
		relay->limits = *options->limits;
	if (relay->limits.session_count_max == 0)
		relay->limits.session_count_max = HF_BLIND_RELAY_SESSION_COUNT_MAX;
	if (relay->limits.pair_count_max == 0)
		relay->limits.pair_count_max = HF_BLIND_RELAY_PAIR_COUNT_MAX;
	if (relay->limits.session_pairs_max == 0)
		relay->limits.session_pairs_max = HF_BLIND_RELAY_SESSION_PAIRS_MAX;
	relay->events = options->events;
	relay->context = options->context;
	hf_map_init(&relay->by_token, options->seed);
	return HF_OK;
}

void hf_blind_relay_free(struct hf_blind_relay *relay)
{
	if (relay == NULL)
		return;
	while (relay->sessions != NULL)
		hf_channel_close(relay->sessions->channel);
	hf_map_free(&relay->by_token);
	free(relay);
}

void hf_blind_relay_read_stats(const struct hf_blind_relay *relay, struct hf_blind_relay_stats *stats)
{
	*stats = relay->stats;
}
