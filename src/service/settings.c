/* settings: the table that drives the configuration file, the environment, the flags and what is said about them. */
#include "service/config.h"

#include <stddef.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define SECOND_MS UINT64_C(1000)
#define HOUR_MS (SECOND_MS * 3600)
#define DAY_MS (HOUR_MS * 24)
#define ANY UINT64_MAX

#define IN_CONFIG(field) offsetof(struct hf_config, field)
#define IN_RELAY(field) offsetof(struct hf_config_relay, field)
#define FIXED false
#define RELOADS true

const struct hf_setting hf_settings[] = {
	{"gateway", "data", HF_SETTING_TEXT, "data", 0, 0, FIXED, IN_CONFIG(data),
		"the data directory: keys, store, lock and admin.sock"},
	{"gateway", "listen", HF_SETTING_TEXT, "127.0.0.1:7777", 0, 0, FIXED, IN_CONFIG(listen),
		"addresses for HTTP and WebSocket, separated by commas; port 0 takes a free one and prints it"},
	{"gateway", "tls_listen", HF_SETTING_TEXT, "", 0, 0, FIXED, IN_CONFIG(tls_listen),
		"addresses for HTTPS and wss://, separated by commas; needs tls_certificate and tls_key"},
	{"gateway", "tls_certificate", HF_SETTING_TEXT, "", 0, 0, FIXED, IN_CONFIG(tls_certificate),
		"PEM file with the certificate chain; the file is read again on SIGHUP"},
	{"gateway", "tls_key", HF_SETTING_TEXT, "", 0, 0, FIXED, IN_CONFIG(tls_key),
		"PEM file with the private key; the file is read again on SIGHUP"},
	{"gateway", "metrics_listen", HF_SETTING_TEXT, "", 0, 0, FIXED, IN_CONFIG(metrics_listen),
		"loopback addresses that answer GET /metrics and nothing else, separated by commas; admin.sock answers it in any case"},
	{"gateway", "trusted_proxies", HF_SETTING_TEXT, "", 0, 0, RELOADS, IN_CONFIG(trusted_proxies),
		"addresses or networks whose X-Forwarded-For is believed, separated by commas"},
	{"gateway", "connections_max", HF_SETTING_NUMBER, "50000", 1, 1000000, RELOADS, IN_CONFIG(connections_max),
		"open connections; further ones get 503"},
	{"gateway", "connections_per_address_max", HF_SETTING_NUMBER, "0", 0, 1000000, RELOADS, IN_CONFIG(connections_per_address_max),
		"open connections of one client address; 0 is no limit"},
	{"gateway", "memory_max", HF_SETTING_BYTES, "512 MiB", 16 * MIB, 1024 * 1024 * MIB, RELOADS, IN_CONFIG(memory_bytes_max),
		"what all connections together may hold in queues, subscriptions and queries; near it those that hold most are disconnected"},
	{"gateway", "header_timeout", HF_SETTING_DURATION, "10s", 100, HOUR_MS, RELOADS, IN_CONFIG(header_timeout_ms),
		"time a client has to send a request's header"},
	{"gateway", "idle_timeout", HF_SETTING_DURATION, "60s", 100, DAY_MS, RELOADS, IN_CONFIG(idle_timeout_ms),
		"time an HTTP connection may wait for its next request"},
	{"gateway", "drain_timeout", HF_SETTING_DURATION, "10s", 0, HOUR_MS, RELOADS, IN_CONFIG(drain_timeout_ms),
		"time that connections get to end after SIGTERM"},
	{"gateway", "verify_threads", HF_SETTING_NUMBER, "0", 0, 256, FIXED, IN_CONFIG(verify_threads),
		"threads that check signatures; 0 is one for each processor"},
	{"gateway", "query_threads", HF_SETTING_NUMBER, "1", 1, 64, FIXED, IN_CONFIG(query_threads),
		"threads for queries that are long or must wait for the disk"},
	{"gateway", "ingest_queue_max", HF_SETTING_NUMBER, "16384", 64, 1000000, RELOADS, IN_CONFIG(ingest_queue_max),
		"events of one relay on their way to the disk; at the bound, publishers are not read from"},

	{"websocket", "message_max", HF_SETTING_BYTES, "1 MiB", KIB, 16 * MIB, RELOADS, IN_CONFIG(message_bytes_max),
		"size of a message from a client; larger ones end the connection with 1009"},
	{"websocket", "send_queue_max", HF_SETTING_BYTES, "4 MiB", 64 * KIB, 1024 * MIB, RELOADS, IN_CONFIG(send_queue_bytes_max),
		"bytes that wait for a slow reader; past it the connection ends with 1008"},
	{"websocket", "ping_interval", HF_SETTING_DURATION, "45s", SECOND_MS, HOUR_MS, RELOADS, IN_CONFIG(ping_interval_ms),
		"silence before a ping; as long again without an answer ends the connection"},
	{"websocket", "deflate", HF_SETTING_BOOL, "yes", 0, 0, RELOADS, IN_CONFIG(deflate),
		"offer permessage-deflate; costs no memory until a client asks for it"},

	{"store", "quota", HF_SETTING_BYTES, "0", 0, ANY, FIXED, IN_CONFIG(quota_bytes),
		"disk space the store may take; writes past it are refused, reads go on; 0 is no limit"},
	{"store", "sync_interval", HF_SETTING_DURATION, "1s", 1, HOUR_MS, FIXED, IN_CONFIG(sync_interval_ms),
		"when writes that nobody waits for reach the disk; events are synced before their OK in any case"},
	{"store", "log_segment", HF_SETTING_BYTES, "256 MiB", MIB, 1024 * MIB, FIXED, IN_CONFIG(log_segment_bytes),
		"size of one log file"},
	{"store", "memtable_docs", HF_SETTING_NUMBER, "8192", 16, 65536, FIXED, IN_CONFIG(memtable_docs_max),
		"events indexed in memory before a segment is sealed"},

	{"swarm", "bootstrap", HF_SETTING_TEXT, "", 0, 0, FIXED, IN_CONFIG(swarm_bootstrap),
		"nodes of the DHT to begin with, HOST:PORT with commas between, or public; empty: nobody is contacted"},

	{"log", "level", HF_SETTING_TEXT, "info", 0, 0, RELOADS, IN_CONFIG(log_level),
		"error, warn, info, debug or trace; with levels for modules after it: info,store=debug"},
	{"log", "json", HF_SETTING_BOOL, "no", 0, 0, RELOADS, IN_CONFIG(log_json),
		"one JSON object a line instead of text"},

	{"relay", "number", HF_SETTING_NUMBER, "0", 0, 60000, FIXED, IN_RELAY(number),
		"the relay's number in the store, for ever; 0 is 1 for main and not allowed for others"},
	{"relay", "path", HF_SETTING_TEXT, "", 0, 0, FIXED, IN_RELAY(path),
		"where it is served; left out it is / for main and /NAME for others"},
	{"relay", "public_url", HF_SETTING_TEXT, "", 0, 0, RELOADS, IN_RELAY(public_url),
		"the wss:// address that clients use; needed for authentication under a name or behind a proxy"},
	{"relay", "name", HF_SETTING_TEXT, "Holdfast", 0, 0, RELOADS, IN_RELAY(name),
		"shown by clients and on the landing page"},
	{"relay", "description", HF_SETTING_TEXT, "A Nostr relay that keeps what it acknowledged.", 0, 0, RELOADS, IN_RELAY(description),
		"a sentence about the relay"},
	{"relay", "contact", HF_SETTING_TEXT, "", 0, 0, RELOADS, IN_RELAY(contact),
		"how to reach the operator, a mailto: or https: address"},
	{"relay", "pubkey", HF_SETTING_TEXT, "", 0, 0, RELOADS, IN_RELAY(pubkey),
		"the operator's Nostr key, 64 hex digits"},
	{"relay", "icon", HF_SETTING_TEXT, "", 0, 0, RELOADS, IN_RELAY(icon),
		"address of a square picture"},
	{"relay", "writers", HF_SETTING_TEXT, "", 0, 0, RELOADS, IN_RELAY(writers),
		"hex keys of the only authors whose events are taken, separated by commas; empty is everybody"},
	{"relay", "event_max", HF_SETTING_BYTES, "256 KiB", KIB, 512 * KIB, RELOADS, IN_RELAY(event_bytes_max),
		"size of one event"},
	{"relay", "created_at_ahead", HF_SETTING_DURATION, "15m", 0, 36500 * DAY_MS, RELOADS, IN_RELAY(created_at_ahead_ms),
		"how far in the future an event may be dated"},
	{"relay", "subscriptions_max", HF_SETTING_NUMBER, "64", 1, 10000, RELOADS, IN_RELAY(subscriptions_max),
		"open subscriptions and running counts of one connection"},
	{"relay", "filters_max", HF_SETTING_NUMBER, "20", 1, 20, RELOADS, IN_RELAY(filters_max),
		"filters in one REQ or COUNT"},
	{"relay", "filter_items_max", HF_SETTING_NUMBER, "10000", 16, 10000, RELOADS, IN_RELAY(filter_items_max),
		"ids, authors, kinds and tag values in all filters of one REQ or COUNT"},
	{"relay", "limit_max", HF_SETTING_NUMBER, "500", 1, 100000, RELOADS, IN_RELAY(limit_max),
		"stored events that one filter gives, also when it asks for more or says nothing"},
	{"relay", "in_flight_max", HF_SETTING_NUMBER, "1024", 1, 65536, RELOADS, IN_RELAY(in_flight_max),
		"events of one connection on their way to the disk; at the bound it is not read from"},
	{"relay", "query_timeout", HF_SETTING_DURATION, "60s", 100, HOUR_MS, RELOADS, IN_RELAY(query_timeout_ms),
		"how long one REQ or COUNT may read stored events, its reader's slowness included"},
	{"relay", "sweep_interval", HF_SETTING_DURATION, "60s", SECOND_MS, DAY_MS, RELOADS, IN_RELAY(sweep_interval_ms),
		"how often expired events are deleted; they are never served in between"},
	{"relay", "auth", HF_SETTING_BOOL, "yes", 0, 0, RELOADS, IN_RELAY(auth),
		"send a challenge to new connections (NIP-42)"},
	{"relay", "auth_window", HF_SETTING_DURATION, "10m", SECOND_MS, DAY_MS, RELOADS, IN_RELAY(auth_window_ms),
		"how far from now an authentication may be dated"},
	{"relay", "private_reads", HF_SETTING_BOOL, "yes", 0, 0, RELOADS, IN_RELAY(private_reads),
		"kinds 4 and 1059 go only to those involved, after authentication"},
};

const size_t hf_setting_count = sizeof hf_settings / sizeof *hf_settings;
