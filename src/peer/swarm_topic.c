/* Topics: looked up and announced when they are joined, every ten minutes or so, and when a session asks; taken back when they are left. */
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "peer/swarm_private.h"

/* After the first announce at a topic the nodes nearest to it are asked again: who announced at the same time as we was not there to be
 * found, nor we for them, and it would be ten minutes until either looks again. */
static const uint32_t second_looks_ms[] = {1000, 10000};

#define SHORTAGE_RETRY_MS 10000 /* after a look that could not be begun */
#define OVERDUE_MS 30000 /* a timer that is so late means that the machine slept: all wake at once then, and are spread anew */

/* ---- What is under way: counted, so that nobody has to look for it ---- */

static void count_if_busy(struct hf_swarm_topic *topic, int by)
{
	struct hf_swarm *swarm = topic->swarm;
	if (topic->is_looking || topic->waits_for_server)
		*(topic->is_joined ? &swarm->busy_joined : &swarm->busy_left) += (size_t)by;
}

static void set_looking(struct hf_swarm_topic *topic, bool is_looking)
{
	count_if_busy(topic, -1);
	topic->is_looking = is_looking;
	count_if_busy(topic, 1);
}

static void set_waiting(struct hf_swarm_topic *topic, bool waits_for_server)
{
	count_if_busy(topic, -1);
	topic->waits_for_server = waits_for_server;
	count_if_busy(topic, 1);
}

static void set_joined(struct hf_swarm_topic *topic, bool is_joined)
{
	count_if_busy(topic, -1);
	topic->is_joined = is_joined;
	count_if_busy(topic, 1);
}

static unsigned roles_of(const struct hf_swarm_topic *topic)
{
	unsigned roles = 0;
	for (const struct hf_swarm_session *session = topic->sessions; session; session = session->next)
		roles |= session->roles;
	return roles;
}

static void free_if_unheld(struct hf_swarm_topic *topic)
{
	if (topic->is_joined || topic->is_looking || topic->peer_references > 0)
		return;
	HF_LIST_REMOVE(topic->swarm->left, topic);
	free(topic);
}

void hf_swarm_topic_release(struct hf_swarm_topic *topic)
{
	topic->peer_references--;
	free_if_unheld(topic);
}

static void tell_waits(struct hf_swarm_topic *topic, int code)
{
	while (topic->waits)
		hf_swarm_wait_finish(topic->swarm, topic->waits, code);
}

/* ---- Looking ---- */

static void set_timer(struct hf_swarm_topic *topic, uint64_t delay_ms)
{
	struct hf_udp_host *host = topic->swarm->host;
	topic->timer_due_ms = hf_udp_now_ms(host) + delay_ms;
	hf_udp_timer_set(host, &topic->timer, delay_ms);
}

static void look_later(struct hf_swarm_topic *topic, bool spread)
{
	set_timer(topic, hf_swarm_random(topic->swarm) % HF_SWARM_REFRESH_JITTER_MS + (spread ? 0 : HF_SWARM_REFRESH_MS));
}

static bool second_look_is_due(const struct hf_swarm_topic *topic)
{
	return !topic->is_looking && topic->start_code == HF_OK && topic->roles == (HF_SWARM_CLIENT | HF_SWARM_SERVER)
		&& topic->second_looks < sizeof second_looks_ms / sizeof *second_looks_ms;
}

static void look_at_closest(struct hf_swarm_topic *topic);

static void on_timer(struct hf_timer *timer)
{
	struct hf_swarm_topic *topic = HF_CONTAINER_OF(timer, struct hf_swarm_topic, timer);
	bool is_overdue = hf_udp_now_ms(topic->swarm->host) > topic->timer_due_ms + OVERDUE_MS;
	look_later(topic, is_overdue);
	if (is_overdue)
		return;
	if (second_look_is_due(topic))
		look_at_closest(topic);
	else
		hf_swarm_topic_refresh(topic);
}

static void on_peers(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count)
{
	struct hf_swarm_topic *topic = HF_CONTAINER_OF(lookup, struct hf_swarm_topic, lookup);
	if (!topic->is_joined || topic->swarm->is_suspended || !(topic->roles & HF_SWARM_CLIENT))
		return;
	for (size_t i = 0; i < count; i++) {
		if (topic->limit > 0 && topic->left == 0)
			return;
		topic->left -= topic->limit > 0;
		hf_swarm_found(topic->swarm, topic, &peers[i]);
	}
}

/* The nodes to begin with the next time, as far as they are known by now. */
static void keep_closest(struct hf_swarm_topic *topic)
{
	struct hf_dht_lookup *lookup = &topic->lookup;
	struct hf_dht_contact found[HF_DHT_K];
	size_t count = hf_dht_query_is_active(&lookup->query) ? hf_dht_query_contacts(&lookup->query, found) : lookup->closest_count;
	if (count == 0)
		return;
	memcpy(topic->closest, hf_dht_query_is_active(&lookup->query) ? found : lookup->closest, count * sizeof *topic->closest);
	topic->closest_count = count;
}

static void stop_looking(struct hf_swarm_topic *topic)
{
	if (topic->is_looking)
		keep_closest(topic);
	hf_dht_lookup_cancel(&topic->lookup);
	look_later(topic, false);
	set_looking(topic, false);
	set_waiting(topic, false);
}

static void on_done(struct hf_dht_lookup *lookup, int code)
{
	struct hf_swarm_topic *topic = HF_CONTAINER_OF(lookup, struct hf_swarm_topic, lookup);
	struct hf_swarm *swarm = topic->swarm;
	set_looking(topic, false);
	keep_closest(topic);
	if (lookup->kind == HF_DHT_REMOVE)
		topic->needs_unannounce = false;
	if (topic->is_joined && topic->is_taken_back && !swarm->is_suspended) {
		/* Joined again while it was being taken back. */
		topic->is_taken_back = false;
		hf_swarm_topic_refresh(topic);
		return;
	}
	if (topic->is_joined && !swarm->is_suspended) {
		if (second_look_is_due(topic))
			set_timer(topic, second_looks_ms[topic->second_looks]);
		else
			look_later(topic, false);
	}
	tell_waits(topic, code < 0 ? HF_EIO : HF_OK);
	free_if_unheld(topic);
	hf_swarm_settle(swarm);
}

static uint32_t connected_count(const struct hf_swarm_topic *topic)
{
	uint32_t count = 0;
	for (const struct hf_swarm_connection *c = topic->swarm->connections; c; c = c->next)
		for (size_t i = 0; i < c->peer->topic_count; i++)
			count += c->peer->topics[i] == topic;
	return count;
}

/* A lookup that begins at the nodes that were nearest the last time. */
static void prepare(struct hf_swarm_topic *topic, enum hf_dht_lookup_kind kind)
{
	struct hf_dht_lookup *lookup = &topic->lookup;
	memset(lookup, 0, sizeof *lookup);
	memcpy(lookup->target, topic->id, sizeof lookup->target);
	lookup->kind = kind;
	lookup->secret_key = topic->swarm->secret;
	lookup->start = topic->closest;
	lookup->start_count = topic->closest_count;
	lookup->done = on_done;
}

/* Notes whether a look was begun; one that was not is tried again soon. */
static void note_start(struct hf_swarm_topic *topic, int code)
{
	topic->start_code = code;
	if (code == HF_OK)
		return;
	set_timer(topic, SHORTAGE_RETRY_MS + hf_swarm_random(topic->swarm) % SHORTAGE_RETRY_MS);
	tell_waits(topic, code);
}

static void look(struct hf_swarm_topic *topic)
{
	if (topic->limit > 0) {
		uint32_t connected = connected_count(topic);
		topic->left = topic->limit > connected ? topic->limit - connected : 0;
	}
	topic->lookup.peers = on_peers;
	set_looking(topic, true);
	int r = hf_dht_lookup_start(topic->swarm->node, &topic->lookup);
	if (r < 0)
		set_looking(topic, false);
	note_start(topic, r);
}

static void start(struct hf_swarm_topic *topic)
{
	struct hf_swarm *swarm = topic->swarm;
	bool is_server = topic->roles & HF_SWARM_SERVER;
	int r = is_server ? hf_swarm_listen(swarm) : HF_OK;
	set_waiting(topic, r == HF_EWAIT);
	if (r < 0) {
		note_start(topic, r == HF_EWAIT ? HF_OK : r);
		return;
	}
	prepare(topic, is_server ? HF_DHT_ADD : topic->needs_unannounce ? HF_DHT_REMOVE : HF_DHT_LOOK_UP);
	if (is_server) {
		topic->lookup.relay_count = hf_dht_server_relays(swarm->server, topic->lookup.relays);
		topic->lookup.clear = !topic->is_announced_once;
		topic->is_announced_once = topic->needs_unannounce = true;
	}
	look(topic);
}

static void look_at_closest(struct hf_swarm_topic *topic)
{
	topic->second_looks++;
	prepare(topic, HF_DHT_LOOK_UP);
	topic->lookup.only_closest = true;
	look(topic);
}

void hf_swarm_topic_refresh(struct hf_swarm_topic *topic)
{
	unsigned roles = roles_of(topic);
	if (!topic->is_joined || topic->is_taken_back || topic->swarm->is_suspended)
		return;
	if (roles == topic->roles && (topic->is_looking || topic->waits_for_server))
		return;
	stop_looking(topic);
	topic->roles = roles;
	start(topic);
}

void hf_swarm_topic_look_again(struct hf_swarm_topic *topic)
{
	if (topic->is_joined && !topic->is_taken_back)
		stop_looking(topic);
	hf_swarm_topic_refresh(topic);
}

void hf_swarm_topics_server_ready(struct hf_swarm *swarm)
{
	size_t cursor = 0;
	struct hf_swarm_topic *topic;
	while ((topic = hf_map_next(&swarm->topics, &cursor)))
		if (topic->waits_for_server)
			start(topic);
}

/* ---- Taking back ---- */

void hf_swarm_topic_take_back(struct hf_swarm_topic *topic)
{
	if (topic->is_taken_back)
		return;
	stop_looking(topic);
	topic->roles = 0;
	if (!topic->needs_unannounce || topic->closest_count == 0)
		return;
	prepare(topic, HF_DHT_REMOVE);
	topic->lookup.only_closest = topic->lookup.force = true;
	topic->is_taken_back = hf_dht_lookup_start(topic->swarm->node, &topic->lookup) == HF_OK;
	set_looking(topic, topic->is_taken_back);
}

static void leave(struct hf_swarm_topic *topic)
{
	struct hf_swarm *swarm = topic->swarm;
	hf_map_remove(&swarm->topics, hf_slice(topic->id, sizeof topic->id));
	HF_LIST_PUSH(swarm->left, topic);
	set_joined(topic, false);
	tell_waits(topic, HF_ECLOSED);
	hf_swarm_topic_take_back(topic);
	hf_udp_timer_cancel(swarm->host, &topic->timer);
	free_if_unheld(topic);
	hf_swarm_settle(swarm);
}

static void free_sessions(struct hf_swarm_topic *topic)
{
	while (topic->sessions) {
		struct hf_swarm_session *session = topic->sessions;
		topic->sessions = session->next;
		free(session);
	}
}

void hf_swarm_topics_leave(struct hf_swarm *swarm)
{
	struct hf_swarm_topic *topic;
	for (size_t cursor = 0; (topic = hf_map_next(&swarm->topics, &cursor)); cursor = 0) {
		free_sessions(topic);
		leave(topic);
	}
}

static void free_topic(struct hf_swarm_topic *topic)
{
	free_sessions(topic);
	stop_looking(topic);
	hf_udp_timer_cancel(topic->swarm->host, &topic->timer);
	free(topic);
}

void hf_swarm_topics_free(struct hf_swarm *swarm)
{
	struct hf_swarm_topic *topic;
	size_t cursor = 0;
	while ((topic = hf_map_next(&swarm->topics, &cursor)))
		free_topic(topic);
	while ((topic = swarm->left)) {
		swarm->left = topic->next;
		free_topic(topic);
	}
	hf_map_free(&swarm->topics);
}

/* ---- Sessions ---- */

static struct hf_swarm_topic *find_left(struct hf_swarm *swarm, const uint8_t id[static 32])
{
	struct hf_swarm_topic *topic = swarm->left;
	while (topic && memcmp(topic->id, id, sizeof topic->id) != 0)
		topic = topic->next;
	return topic;
}

/* A topic that is still being taken back, or that peers remember, is the same one when it is joined again. From here until it is left its
 * timer has a place among the host's, and takes it again first of all when it fires, so that setting it needs no memory: a look that could
 * not be arranged would be the last one. */
static int take_topic(struct hf_swarm *swarm, const uint8_t id[static 32], struct hf_swarm_topic **out)
{
	struct hf_swarm_topic *topic = hf_map_get(&swarm->topics, hf_slice(id, 32));
	*out = topic;
	if (topic)
		return HF_OK;
	topic = find_left(swarm, id);
	bool is_new = !topic;
	if (is_new && !(topic = calloc(1, sizeof *topic)))
		return HF_ENOMEM;
	memcpy(topic->id, id, sizeof topic->id);
	topic->swarm = swarm;
	topic->timer.fire = on_timer;
	int r = hf_udp_timer_set(swarm->host, &topic->timer, HF_SWARM_REFRESH_MS);
	if (r == HF_OK)
		r = hf_map_put(&swarm->topics, hf_slice(topic->id, sizeof topic->id), topic, NULL);
	if (r < 0) {
		hf_udp_timer_cancel(swarm->host, &topic->timer);
		if (is_new)
			free(topic);
		return r;
	}
	if (!is_new)
		HF_LIST_REMOVE(swarm->left, topic);
	topic->next = topic->previous = NULL;
	set_joined(topic, true);
	*out = topic;
	return HF_OK;
}

int hf_swarm_join(struct hf_swarm *swarm, const uint8_t id[static 32], unsigned roles, uint32_t limit, struct hf_swarm_session **out)
{
	struct hf_swarm_topic *topic;
	*out = NULL;
	if (swarm->is_closing)
		return HF_ECLOSED;
	if (!(roles & (HF_SWARM_SERVER | HF_SWARM_CLIENT)))
		return HF_EINVAL;
	struct hf_swarm_session *session = calloc(1, sizeof *session);
	int r = session ? take_topic(swarm, id, &topic) : HF_ENOMEM;
	if (r < 0) {
		free(session);
		return r;
	}
	session->topic = topic;
	HF_LIST_PUSH(topic->sessions, session);
	*out = session;
	return hf_swarm_session_refresh(session, roles, limit);
}

int hf_swarm_session_refresh(struct hf_swarm_session *session, unsigned roles, uint32_t limit)
{
	struct hf_swarm_topic *topic = session->topic;
	if (topic->swarm->is_closing)
		return HF_ECLOSED;
	if (!(roles & (HF_SWARM_SERVER | HF_SWARM_CLIENT)))
		return HF_EINVAL;
	session->roles = roles & (HF_SWARM_SERVER | HF_SWARM_CLIENT);
	topic->limit = limit;
	hf_swarm_topic_refresh(topic);
	return HF_OK;
}

void hf_swarm_leave(struct hf_swarm_session *session)
{
	struct hf_swarm_topic *topic = session->topic;
	unsigned before = roles_of(topic);
	HF_LIST_REMOVE(topic->sessions, session);
	free(session);
	if (!topic->sessions)
		leave(topic);
	else if (roles_of(topic) != before)
		hf_swarm_topic_refresh(topic);
}

void hf_swarm_session_wait(struct hf_swarm_session *session, struct hf_swarm_wait *wait)
{
	struct hf_swarm_topic *topic = session->topic;
	hf_swarm_wait_push(&topic->waits, wait);
	if (!topic->is_looking && !topic->waits_for_server)
		hf_swarm_wait_finish(topic->swarm, wait, topic->start_code);
}
