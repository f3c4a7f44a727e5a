/* A round is a lookup of the topic and a dial for each advertiser; it is over when neither goes on. Advertisers have fixed places, as dials
 * and sockets point to them. */
#include "service/discovery.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/options.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "peer/dht_node_lookup.h"

static struct hf_log_module log_module = HF_LOG_MODULE("discovery");

struct advertiser {
	struct hf_discovery *discovery;
	uint8_t key[32];
	struct hf_address relays[HF_DHT_RECORD_RELAYS_MAX];
	size_t relay_count;
	bool is_used, is_due, is_good; /* due: not asked yet in this round; good: what it said last was of use */
	struct hf_dht_dial *dial;      /* one of the two while it is asked */
	struct hf_peer_socket *socket;
	struct hf_buffer bytes;
	struct hf_timer timeout;
};

struct seen {
	uint8_t key[32];
	uint64_t timestamp_ms;
};

struct hf_discovery {
	struct hf_discovery_options options;
	uint8_t secret[HF_SIGN_SECRET_BYTES]; /* ours to them: another one each time */
	struct hf_dht_lookup lookup;
	/* It has its place in the loop's heap from hf_discovery_new on, and takes it again first of all when it fires, so that setting it needs no
	 * memory: a round that could not be arranged would be the last one. */
	struct hf_timer timer;
	bool is_looking, is_in_round;
	int lookup_code;
	size_t asked_count;
	struct advertiser advertisers[HF_DISCOVERY_ADVERTISER_COUNT_MAX];
	struct seen seen[HF_DISCOVERY_SEEN_COUNT_MAX];
	size_t seen_count;
	struct hf_counter heard, refused[HF_ANNOUNCEMENT_REFUSAL_COUNT], unreachable, not_taken;
};

static void go_on(struct hf_discovery *d);

/* ---- What was said ---- */

/* False: an older one than before. */
static bool note_time(struct hf_discovery *d, const struct hf_announcement *a)
{
	struct seen *oldest = d->seen;
	for (size_t i = 0; i < d->seen_count; i++) {
		struct seen *s = &d->seen[i];
		if (memcmp(s->key, a->gateway_key, sizeof s->key) == 0) {
			bool is_new = a->timestamp_ms >= s->timestamp_ms;
			s->timestamp_ms = is_new ? a->timestamp_ms : s->timestamp_ms;
			return is_new;
		}
		if (s->timestamp_ms < oldest->timestamp_ms)
			oldest = s;
	}
	struct seen *place = d->seen_count < HF_DISCOVERY_SEEN_COUNT_MAX ? &d->seen[d->seen_count++] : oldest;
	memcpy(place->key, a->gateway_key, sizeof place->key);
	place->timestamp_ms = a->timestamp_ms;
	return true;
}

static void refuse(struct advertiser *from, enum hf_announcement_refusal refusal, const struct hf_announcement *a)
{
	struct hf_discovery *d = from->discovery;
	from->is_good &= refusal == HF_ANNOUNCEMENT_UNCHECKED;
	hf_counter_add(&d->refused[refusal], 1);
	hf_log_debug(&log_module, "an announcement was refused", "reason=%s advertiser=%02x%02x%02x%02x…", hf_announcement_refusal_name(refusal),
		from->key[0], from->key[1], from->key[2], from->key[3]);
	if (d->options.events->refused)
		d->options.events->refused(d->options.context, refusal, a, from->key);
}

static void judge(struct advertiser *from)
{
	struct hf_discovery *d = from->discovery;
	struct hf_announcement a;
	int r = hf_announcement_decode(hf_buffer_slice(&from->bytes), &a);
	enum hf_announcement_refusal refusal = r < 0 ? HF_ANNOUNCEMENT_MALFORMED
		: hf_announcement_check(&a, hf_env_wall_ms(hf_loop_env(d->options.loop)), d->options.takes_foreign_keys);
	if (refusal == HF_ANNOUNCEMENT_TAKEN && !note_time(d, &a))
		refusal = HF_ANNOUNCEMENT_STALE;
	if (refusal != HF_ANNOUNCEMENT_TAKEN) {
		refuse(from, refusal, r < 0 ? NULL : &a);
		return;
	}
	hf_counter_add(&d->heard, 1);
	from->is_good = d->options.events->heard(d->options.context, &a, from->key);
}

/* ---- Asking one ---- */

static void let_go(struct advertiser *a)
{
	struct hf_discovery *d = a->discovery;
	hf_loop_timer_cancel(d->options.loop, &a->timeout);
	hf_dht_dial_cancel(a->dial);
	hf_peer_socket_free(a->socket);
	a->dial = NULL;
	a->socket = NULL;
	hf_buffer_free(&a->bytes);
	d->asked_count--;
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
}

static void on_message(void *context, struct hf_peer_socket *socket, struct hf_slice message)
{
	struct advertiser *a = context;
	if (message.length > HF_ANNOUNCEMENT_BYTES_MAX || a->bytes.length + message.length > HF_ANNOUNCEMENT_BYTES_MAX)
		refuse(a, HF_ANNOUNCEMENT_TOO_BIG, NULL);
	else if (hf_buffer_append(&a->bytes, message.data, message.length) == HF_OK)
		return;
	else
		refuse(a, HF_ANNOUNCEMENT_UNCHECKED, NULL);
	let_go(a);
	go_on(a->discovery);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct advertiser *a = context;
	a->socket = NULL;
	judge(a);
	let_go(a);
	go_on(a->discovery);
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .message = on_message, .closed = on_closed};

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	struct advertiser *a = context;
	a->dial = NULL;
	a->socket = socket;
}

static void on_unreachable(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct advertiser *a = context;
	a->dial = NULL;
	a->is_good = false;
	hf_counter_add(&a->discovery->unreachable, 1);
	let_go(a);
	go_on(a->discovery);
}

static void on_timeout(struct hf_timer *timer)
{
	struct advertiser *a = HF_CONTAINER_OF(timer, struct advertiser, timeout);
	if (a->socket)
		refuse(a, HF_ANNOUNCEMENT_SLOW, NULL);
	else
		hf_counter_add(&a->discovery->unreachable, 1);
	a->is_good = false;
	let_go(a);
	go_on(a->discovery);
}

static void ask(struct advertiser *a)
{
	static const struct hf_dht_dial_events events = {.connected = on_connected, .failed = on_unreachable};
	struct hf_discovery *d = a->discovery;
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = a->key, .secret_key = d->secret, .relays = a->relays,
		.relay_count = a->relay_count, .socket = {.size = sizeof options.socket, .loop = d->options.loop, .events = &socket_events, .context = a},
		.events = &events, .context = a};
	a->is_due = false;
	d->asked_count++;
	int r = hf_loop_timer_set(d->options.loop, &a->timeout, HF_DISCOVERY_HEAR_MS);
	if (r == HF_OK)
		r = hf_dht_dial(&a->dial, d->options.connector, &options);
	if (r == HF_OK)
		return;
	a->dial = NULL;
	hf_counter_add(&d->unreachable, 1);
	let_go(a);
}

/* ---- The round ---- */

static void end_round(struct hf_discovery *d)
{
	uint32_t random;
	d->is_in_round = false;
	hf_loop_env(d->options.loop)->random(hf_loop_env(d->options.loop), &random, sizeof random);
	uint64_t interval_ms = d->options.interval_ms;
	if (interval_ms > 0)
		hf_loop_timer_set(d->options.loop, &d->timer, interval_ms * 4 / 5 + interval_ms * 2 / 5 * (random & 0xffff) / 0xffff);
	if (d->options.events->looked)
		d->options.events->looked(d->options.context, d->lookup_code);
}

static void go_on(struct hf_discovery *d)
{
	for (size_t i = 0; i < HF_DISCOVERY_ADVERTISER_COUNT_MAX && d->asked_count < HF_DISCOVERY_PARALLEL_MAX; i++)
		if (d->advertisers[i].is_due)
			ask(&d->advertisers[i]);
	if (d->is_in_round && !d->is_looking && d->asked_count == 0)
		end_round(d);
}

static struct advertiser *place_for(struct hf_discovery *d, const uint8_t *key, bool *is_known)
{
	struct advertiser *place = NULL;
	for (size_t i = 0; i < HF_DISCOVERY_ADVERTISER_COUNT_MAX; i++) {
		struct advertiser *a = &d->advertisers[i];
		if (a->is_used && memcmp(a->key, key, sizeof a->key) == 0) {
			*is_known = true;
			return a;
		}
		if (!a->is_used && !place)
			place = a;
	}
	*is_known = false;
	return place;
}

static void on_peers(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count)
{
	struct hf_discovery *d = HF_CONTAINER_OF(lookup, struct hf_discovery, lookup);
	for (size_t i = 0; i < count; i++) {
		bool is_known;
		struct advertiser *a = place_for(d, peers[i].public_key, &is_known);
		if (!a) {
			hf_counter_add(&d->not_taken, 1);
			continue;
		}
		if (is_known && !a->is_due)
			continue;
		a->is_used = a->is_due = true;
		memcpy(a->key, peers[i].public_key, sizeof a->key);
		size_t relay_count = hf_dht_closer_count(peers[i].relays);
		a->relay_count = relay_count < HF_DHT_RECORD_RELAYS_MAX ? relay_count : HF_DHT_RECORD_RELAYS_MAX;
		for (size_t k = 0; k < a->relay_count; k++)
			a->relays[k] = hf_dht_closer_at(peers[i].relays, k);
	}
	go_on(d);
}

static void on_looked_up(struct hf_dht_lookup *lookup, int code)
{
	struct hf_discovery *d = HF_CONTAINER_OF(lookup, struct hf_discovery, lookup);
	d->is_looking = false;
	d->lookup_code = code;
	go_on(d);
}

void hf_discovery_look(struct hf_discovery *d)
{
	if (d->is_in_round)
		return;
	for (size_t i = 0; i < HF_DISCOVERY_ADVERTISER_COUNT_MAX; i++) {
		struct advertiser *a = &d->advertisers[i];
		a->is_used = a->is_due = a->is_good;
	}
	d->is_in_round = d->is_looking = true;
	d->lookup = (struct hf_dht_lookup){.kind = HF_DHT_LOOK_UP, .peers = on_peers, .done = on_looked_up};
	hf_blake2b(d->lookup.target, sizeof d->lookup.target, hf_slice(NULL, 0), HF_SLICE_LITERAL(HF_ANNOUNCEMENT_TOPIC));
	d->lookup_code = hf_dht_lookup_start(hf_dht_connector_node(d->options.connector), &d->lookup);
	d->is_looking = d->lookup_code == HF_OK;
	go_on(d);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_discovery *d = HF_CONTAINER_OF(timer, struct hf_discovery, timer);
	hf_loop_timer_set(d->options.loop, &d->timer, d->options.interval_ms);
	hf_discovery_look(d);
}

/* ---- Life ---- */

static void register_metrics(struct hf_discovery *d)
{
	static const char *const labels[HF_ANNOUNCEMENT_REFUSAL_COUNT] = {
		[HF_ANNOUNCEMENT_TOO_BIG] = "reason=\"size\"", [HF_ANNOUNCEMENT_MALFORMED] = "reason=\"malformed\"",
		[HF_ANNOUNCEMENT_KEYS_DIFFER] = "reason=\"keys\"", [HF_ANNOUNCEMENT_BAD_SIGNATURE] = "reason=\"signature\"",
		[HF_ANNOUNCEMENT_BAD_TTL] = "reason=\"ttl\"", [HF_ANNOUNCEMENT_EXPIRED] = "reason=\"expired\"",
		[HF_ANNOUNCEMENT_FROM_FUTURE] = "reason=\"future\"", [HF_ANNOUNCEMENT_BAD_URL] = "reason=\"url\"",
		[HF_ANNOUNCEMENT_STALE] = "reason=\"stale\"", [HF_ANNOUNCEMENT_SLOW] = "reason=\"slow\"",
		[HF_ANNOUNCEMENT_UNCHECKED] = "reason=\"memory\""};
	struct hf_metrics *m = d->options.metrics;
	if (!m)
		return;
	hf_counter_register(m, &d->heard, "holdfast_discovery_heard_total", "", "Announcements of gateways that hold");
	for (size_t i = 1; i < HF_ANNOUNCEMENT_REFUSAL_COUNT; i++)
		hf_counter_register(m, &d->refused[i], "holdfast_discovery_refused_total", labels[i], "Announcements that do not, by reason");
	hf_counter_register(m, &d->unreachable, "holdfast_discovery_unreachable_total", "", "Who was there and could not be reached");
	hf_counter_register(m, &d->not_taken, "holdfast_discovery_not_asked_total", "", "Who was there beyond the most that are asked");
}

static void unregister_metrics(struct hf_discovery *d)
{
	struct hf_metrics *m = d->options.metrics;
	if (!m)
		return;
	hf_metric_unregister(m, &d->heard.link);
	for (size_t i = 1; i < HF_ANNOUNCEMENT_REFUSAL_COUNT; i++)
		hf_metric_unregister(m, &d->refused[i].link);
	hf_metric_unregister(m, &d->unreachable.link);
	hf_metric_unregister(m, &d->not_taken.link);
}

int hf_discovery_new(struct hf_discovery **out, const struct hf_discovery_options *given, struct hf_failure *failure)
{
	struct hf_discovery_options options;
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	*out = NULL;
	int r = hf_options_take(&options, sizeof options, given);
	struct hf_discovery *d = r == HF_OK ? calloc(1, sizeof *d) : NULL;
	if (r == HF_OK && !d)
		r = HF_ENOMEM;
	if (r == HF_OK)
		d->timer.fire = on_timer;
	if (r == HF_OK && options.interval_ms > 0)
		r = hf_loop_timer_set(options.loop, &d->timer, options.interval_ms);
	if (r < 0) {
		free(d);
		return hf_fail(failure, r, "Gateways cannot be looked for: %s.", hf_error_text(r));
	}
	d->options = options;
	for (size_t i = 0; i < HF_DISCOVERY_ADVERTISER_COUNT_MAX; i++) {
		d->advertisers[i].discovery = d;
		d->advertisers[i].timeout.fire = on_timeout;
	}
	hf_sign_keypair_generate(public_key, d->secret, hf_loop_env(options.loop));
	register_metrics(d);
	*out = d;
	return HF_OK;
}

void hf_discovery_free(struct hf_discovery *d)
{
	if (!d)
		return;
	hf_dht_lookup_cancel(&d->lookup);
	hf_loop_timer_cancel(d->options.loop, &d->timer);
	for (size_t i = 0; i < HF_DISCOVERY_ADVERTISER_COUNT_MAX; i++)
		if (d->advertisers[i].dial || d->advertisers[i].socket)
			let_go(&d->advertisers[i]);
	unregister_metrics(d);
	hf_wipe(d->secret, sizeof d->secret);
	free(d);
}
