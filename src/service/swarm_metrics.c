#include "service/swarm_metrics.h"

#include <stdlib.h>

#include "base/metric_table.h"

struct snapshot {
	struct hf_dht_node_state state;
	struct hf_dht_node_stats dht;
	struct hf_udx_counters udx;
	struct hf_udp_counters udp;
	struct hf_dht_connector_stats connector;
	struct hf_swarm_stats swarm;
	struct hf_blind_relay_stats relay;
	uint64_t relayed_bytes;
};

_Static_assert(sizeof(size_t) == sizeof(uint64_t) && sizeof(struct snapshot) <= HF_METRIC_SNAPSHOT_BYTES_MAX,
	"a number in a snapshot has 1, 4 or 8 bytes");

#define COUNTER(name, labels, help, field) HF_METRIC_COUNTER(name, labels, help, struct snapshot, field)
#define GAUGE(name, labels, help, field) HF_METRIC_GAUGE(name, labels, help, struct snapshot, field)

/* ---- The DHT, and the packets below it ---- */

#define DHT_COMMAND(label, index) \
	COUNTER("holdfast_dht_requests_total", "command=\"" label "\",outcome=\"answered\"", "Requests of ours, by their end", \
		dht.answered[index]), \
	COUNTER("holdfast_dht_requests_total", "command=\"" label "\",outcome=\"timeout\"", "Requests of ours, by their end", \
		dht.timed_out[index]), \
	COUNTER("holdfast_dht_served_total", "command=\"" label "\"", "Requests of others that were taken", dht.served[index])
#define DHT_DROP(reason, field) \
	COUNTER("holdfast_dht_dropped_total", "reason=\"" reason "\"", "Datagrams, requests and replies that came to nothing", dht.field)
#define DHT_RECORDS(kind, field) \
	GAUGE("holdfast_dht_records", "kind=\"" kind "\"", "Records that are kept for others", dht.field)
#define UDX_DROP(reason, index) \
	COUNTER("holdfast_udx_dropped_packets_total", "reason=\"" reason "\"", "Packets for streams that were of no use", \
		udx.dropped_packets[index])

static const struct hf_metric_row node_rows[] = {
	DHT_COMMAND("ping", 0), DHT_COMMAND("ping_nat", 1), DHT_COMMAND("find_node", 2), DHT_COMMAND("down_hint", 3),
	DHT_COMMAND("delayed_ping", 4), DHT_COMMAND("peer_handshake", 5), DHT_COMMAND("peer_holepunch", 6), DHT_COMMAND("find_peer", 7),
	DHT_COMMAND("lookup", 8), DHT_COMMAND("announce", 9), DHT_COMMAND("unannounce", 10), DHT_COMMAND("mutable_put", 11),
	DHT_COMMAND("mutable_get", 12), DHT_COMMAND("immutable_put", 13), DHT_COMMAND("immutable_get", 14), DHT_COMMAND("plugin", 15),
	DHT_COMMAND("unknown", HF_DHT_COMMAND_COUNT),
	DHT_DROP("malformed", malformed), DHT_DROP("rate_limited", rate_limited), DHT_DROP("over_budget", over_budget),
	DHT_DROP("unsent", unsent), DHT_DROP("bad_token", bad_tokens), DHT_DROP("bad_signature", bad_signatures),
	DHT_DROP("bad_seq", bad_seqs), DHT_DROP("stale_reply", stale_replies),
	DHT_RECORDS("peers", records), DHT_RECORDS("routes", routes), DHT_RECORDS("mutable", mutables), DHT_RECORDS("immutable", immutables),
	COUNTER("holdfast_dht_records_evicted_total", "", "Records forgotten early, for others", dht.records_evicted),
	GAUGE("holdfast_dht_record_bytes", "", "Memory of the records that are kept", dht.record_bytes),
	GAUGE("holdfast_dht_nodes", "", "Nodes in the routing table", dht.table_count),
	GAUGE("holdfast_dht_requests_in_flight", "", "Requests of ours that wait for an answer, or to be sent", dht.inflight_count),
	GAUGE("holdfast_dht_queries", "", "Queries of ours that are under way", dht.query_count),
	COUNTER("holdfast_dht_retries_total", "", "Requests of ours that were sent again", dht.retries),
	COUNTER("holdfast_dht_relayed_total", "", "Handshakes and holepunches of others that were passed on", dht.relayed),
	COUNTER("holdfast_dht_datagrams_total", "direction=\"sent\"", "Datagrams of the DHT", dht.sent),
	COUNTER("holdfast_dht_datagrams_total", "direction=\"received\"", "Datagrams of the DHT", dht.received),
	GAUGE("holdfast_dht_online", "", "1 while others answer", state.is_online),
	GAUGE("holdfast_dht_firewalled", "", "1 while others cannot reach this node by themselves", state.is_firewalled),
	GAUGE("holdfast_dht_persistent", "", "1 while it keeps records for others", state.is_persistent),

	COUNTER("holdfast_udx_bytes_total", "direction=\"sent\"", "Bytes of packets of streams", udx.sent_bytes),
	COUNTER("holdfast_udx_bytes_total", "direction=\"received\"", "Bytes of packets of streams", udx.received_bytes),
	COUNTER("holdfast_udx_packets_total", "direction=\"sent\"", "Packets of streams", udx.sent_packets),
	COUNTER("holdfast_udx_packets_total", "direction=\"received\"", "Packets of streams", udx.received_packets),
	COUNTER("holdfast_udx_retransmitted_packets_total", "", "Packets that were sent again", udx.retransmitted_packets),
	COUNTER("holdfast_udx_lost_packets_total", "", "Packets that were taken for lost", udx.lost_packets),
	COUNTER("holdfast_udx_timeouts_total", "", "Times that nothing was acknowledged for long", udx.timeouts),
	UDX_DROP("malformed", HF_UDX_DROP_MALFORMED), UDX_DROP("full", HF_UDX_DROP_FULL), UDX_DROP("firewall", HF_UDX_DROP_FIREWALL),
	UDX_DROP("relay_rate", HF_UDX_DROP_RELAY_RATE), UDX_DROP("relay_full", HF_UDX_DROP_RELAY_FULL),
	GAUGE("holdfast_udx_streams", "", "Open streams", udx.stream_count),
	GAUGE("holdfast_udx_kept_bytes", "", "Bytes received and not read yet", udx.kept_bytes),
	COUNTER("holdfast_udp_unsent_packets_total", "reason=\"full\"", "Packets that the system did not take", udp.refused_packets),
	COUNTER("holdfast_udp_unsent_packets_total", "reason=\"failed\"", "Packets that the system did not take", udp.failed_packets),
};

/* ---- Connections ---- */

#define OUTCOME(outcome, field) \
	COUNTER("holdfast_peer_attempts_total", "outcome=\"" outcome "\"", \
		"Connections with peers by the way they took at first, and those of ours that failed", connector.field)
#define HANDSHAKE(result, field) \
	COUNTER("holdfast_peer_handshakes_total", "result=\"" result "\"", "Handshakes of peers that dial us", connector.field)
#define PUNCH(result, field) \
	COUNTER("holdfast_peer_punches_total", "result=\"" result "\"", "Holes to peers, by the kind of NAT that they were punched through", \
		connector.field)

static const struct hf_metric_row connector_rows[] = {
	OUTCOME("direct", ways_open), OUTCOME("lan", ways_local), OUTCOME("punched", ways_punched), OUTCOME("relayed", ways_relayed),
	OUTCOME("failed", dials_failed),
	COUNTER("holdfast_peer_dials_total", "", "Peers that were dialled", connector.dials),
	COUNTER("holdfast_peer_upgrades_total", "", "Relayed connections that went over to a direct way", connector.upgrades),
	HANDSHAKE("taken", handshakes), HANDSHAKE("repeated", handshakes_repeated), HANDSHAKE("refused", handshakes_refused),
	HANDSHAKE("forged", handshakes_forged),
	PUNCH("consistent", punches_consistent), PUNCH("random", punches_random), PUNCH("later", punches_later), PUNCH("failed", punches_failed),
	GAUGE("holdfast_peer_dialling", "", "Dials that are under way", connector.dial_count),
	GAUGE("holdfast_peer_handshakes_kept", "", "Handshakes of peers that are under way or were lately", connector.handshake_count),
	GAUGE("holdfast_peer_punch_sockets", "", "Sockets open for punching and for what came of it", connector.socket_count),
};

/* ---- The swarm ---- */

#define REFUSED(reason, field) \
	COUNTER("holdfast_swarm_refused_total", "reason=\"" reason "\"", "Connections and peers that were not taken", swarm.field)

static const struct hf_metric_row swarm_rows[] = {
	GAUGE("holdfast_swarm_connections", "direction=\"dialled\"", "Open connections with peers", swarm.client_connections),
	GAUGE("holdfast_swarm_connections", "direction=\"accepted\"", "Open connections with peers", swarm.server_connections),
	COUNTER("holdfast_swarm_connections_total", "direction=\"dialled\"", "Connections that were opened", swarm.client_opened),
	COUNTER("holdfast_swarm_connections_total", "direction=\"accepted\"", "Connections that were opened", swarm.server_opened),
	COUNTER("holdfast_swarm_attempts_total", "", "Attempts to connect with a peer", swarm.client_attempted),
	REFUSED("duplicate", duplicates_closed), REFUSED("refused", refused), REFUSED("banned", banned), REFUSED("too_many", peers_not_taken),
	GAUGE("holdfast_swarm_connecting", "", "Connections being made", swarm.connecting),
	GAUGE("holdfast_swarm_topics", "", "Topics that are joined", swarm.topics),
	GAUGE("holdfast_swarm_peers", "", "Peers that are known", swarm.peers),
	GAUGE("holdfast_swarm_queued", "", "Peers that wait to be tried", swarm.queued),
};

/* ---- A blind relay ---- */

#define PAIRS(result, field) \
	COUNTER("holdfast_blind_relay_pairs_total", "result=\"" result "\"", "Halves of pairs that peers asked for", relay.field)

static const struct hf_metric_row relay_rows[] = {
	GAUGE("holdfast_blind_relay_sessions", "", "Peers that are connected to use the relay", relay.session_count),
	GAUGE("holdfast_blind_relay_joined", "", "Pairs of streams that are joined", relay.joined_count),
	GAUGE("holdfast_blind_relay_waiting", "", "Halves that wait for their other half", relay.waiting_count),
	COUNTER("holdfast_blind_relay_sessions_total", "result=\"taken\"", "Peers that came to use the relay", relay.sessions),
	COUNTER("holdfast_blind_relay_sessions_total", "result=\"refused\"", "Peers that came to use the relay", relay.sessions_refused),
	PAIRS("asked", pairs), PAIRS("joined", pairs_joined), PAIRS("refused", pairs_refused), PAIRS("cancelled", pairs_cancelled),
	COUNTER("holdfast_blind_relay_bytes_total", "", "Bytes that were passed on, in both directions", relayed_bytes),
};

/* ---- All of them ---- */

struct hf_swarm_metrics {
	struct hf_swarm_metrics_sources sources;
	struct hf_metric_table *table;
};

static void read_all(void *context, void *snapshot)
{
	const struct hf_swarm_metrics *m = context;
	const struct hf_swarm_metrics_sources *sources = &m->sources;
	struct snapshot *s = snapshot;
	struct hf_udx_net *net = hf_dht_node_net(sources->dht);

	*s = (struct snapshot){.relayed_bytes = sources->relay ? hf_relay_server_relayed_bytes(sources->relay) : 0};
	hf_dht_node_read_state(sources->dht, &s->state);
	hf_dht_node_read_stats(sources->dht, &s->dht);
	hf_udx_read_counters(hf_udx_net_session(net), &s->udx);
	hf_udx_net_read_counters(net, &s->udp);
	if (sources->connector)
		hf_dht_connector_read_stats(sources->connector, &s->connector);
	if (sources->swarm)
		hf_swarm_stats(sources->swarm, &s->swarm);
	if (sources->relay)
		hf_relay_server_read_stats(sources->relay, &s->relay);
}

#define ADD(m, rows) hf_metric_table_add((m)->table, rows, sizeof(rows) / sizeof *(rows))

int hf_swarm_metrics_new(struct hf_swarm_metrics **out, struct hf_metrics *registry, const struct hf_swarm_metrics_sources *sources)
{
	struct hf_swarm_metrics *m = registry ? calloc(1, sizeof *m) : NULL;

	*out = m;
	if (!m)
		return registry ? HF_ENOMEM : HF_OK;
	m->sources = *sources;
	int r = hf_metric_table_new(&m->table, registry, sizeof(struct snapshot), read_all, m);
	if (r == HF_OK)
		r = ADD(m, node_rows);
	if (r == HF_OK && sources->connector)
		r = ADD(m, connector_rows);
	if (r == HF_OK && sources->swarm)
		r = ADD(m, swarm_rows);
	if (r == HF_OK && sources->relay)
		r = ADD(m, relay_rows);
	if (r < 0) {
		hf_swarm_metrics_free(m);
		*out = NULL;
	}
	return r;
}

void hf_swarm_metrics_free(struct hf_swarm_metrics *m)
{
	if (!m)
		return;
	hf_metric_table_free(m->table);
	free(m);
}
