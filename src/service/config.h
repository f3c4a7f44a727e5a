/* config: every setting of the program, in one table, and where its value came from.
 *
 * A value comes from the default, the configuration file, the environment or the command line; the later wins.
 *
 *   file         INI: sections as settings.c names them, and one [relay NAME] for each relay instance
 *                (also written [relay "NAME"] or [relay.NAME]; [relay] is the instance "main"), lines of name = value
 *   environment  HOLDFAST_<SECTION>_<NAME>; for a relay other than main HOLDFAST_RELAY_<INSTANCE>_<NAME>
 *   flags        --<section>-<name> value; --data and --listen for those of [gateway]
 *
 * Unknown and wrong entries are refused with where they stand and the nearest known name. Nothing is guessed.
 */
#ifndef HF_SERVICE_CONFIG_H
#define HF_SERVICE_CONFIG_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_CONFIG_FILE_BYTES_MAX (1u << 20)
#define HF_CONFIG_LINE_BYTES_MAX 198 /* what inih is built for in Debian */
#define HF_CONFIG_RELAY_COUNT_MAX 16
#define HF_CONFIG_NAME_BYTES_MAX 32
#define HF_CONFIG_ORIGIN_BYTES 300

enum hf_setting_type {
	HF_SETTING_TEXT,     /* char * */
	HF_SETTING_SECRET,   /* char *, of which is only shown whether it is set */
	HF_SETTING_NUMBER,   /* uint64_t, as all that follow but the last */
	HF_SETTING_BYTES,    /* "64k", "1 GiB" */
	HF_SETTING_DURATION, /* milliseconds; "250ms", "15m" */
	HF_SETTING_BOOL,     /* bool */
};

struct hf_setting {
	const char *section, *name;
	enum hf_setting_type type;
	const char *default_text;
	uint64_t min, max;       /* of numbers, bytes and durations */
	bool reloadable;         /* SIGHUP applies it to new connections and requests */
	size_t offset;           /* into struct hf_config_relay for the section "relay", else into struct hf_config */
	const char *reason;      /* one line: what it is for */
};

/* One relay instance. Text fields are never NULL. */
struct hf_config_relay {
	char instance[HF_CONFIG_NAME_BYTES_MAX + 1];
	uint64_t number;
	char *path, *name, *description, *contact, *pubkey, *icon, *public_url, *writers, *policy, *admins, *members_file;
	uint64_t event_bytes_max, subscriptions_max, filters_max, filter_items_max, limit_max, in_flight_max;
	uint64_t created_at_ahead_ms, query_timeout_ms, sweep_interval_ms, auth_window_ms;
	uint64_t bee_interval_ms, bee_batch;
	char *identifier, *gateway_path, *drive, *token_users, *join;
	bool auth, private_reads, bee, token;
	char **origins; /* by setting; NULL: the default */
};

struct hf_config {
	char *data, *listen, *tls_listen, *metrics_listen, *cores_listen, *tls_certificate, *tls_key, *trusted_proxies;
	char *proxy_protocol, *tls_client, *tls_client_ca, *tls_client_crl;
	uint64_t connections_max, connections_per_address_max, memory_bytes_max, drain_timeout_ms, verify_threads, query_threads;
	uint64_t header_timeout_ms, idle_timeout_ms, ingest_queue_max;
	uint64_t message_bytes_max, send_queue_bytes_max, ping_interval_ms;
	bool deflate, deflate_takeover;
	uint64_t quota_bytes, sync_interval_ms, log_segment_bytes, memtable_docs_max;
	char *swarm_bootstrap;
	bool swarm;
	char *registration_secret, *registration_allow, *registration_redis, *registration_redis_prefix;
	bool workers, registration_open, tokens;
	uint64_t workers_max, worker_streams_max, worker_health_interval_ms, worker_request_timeout_ms;
	uint64_t registration_age_ms;
	uint64_t token_ttl_ms, token_refresh_window_ms, token_failures_max, token_quarantine_ms;
	uint64_t front_sessions_max, front_subscriptions_max, front_overlap_ms, front_answer_timeout_ms, front_cache_max_age_ms;
	uint64_t front_publish_address_max, front_publish_key_max, front_publish_peer_max;
	uint64_t front_subscribe_address_max, front_subscribe_key_max, front_subscribe_peer_max;
	uint64_t dispatcher_in_flight_max, dispatcher_waiting_max, dispatcher_wait_ms, dispatcher_failures_max, dispatcher_open_ms,
		dispatcher_reassign_lag, dispatcher_delegate_queue;
	bool dispatcher_delegate;
	char *admin_keys, *admin_token_file, *admin_certificates, *admin_public_url;
	char *worker_gateways, *worker_secret, *worker_avatars;
	uint64_t worker_retry_ms, worker_retry_max_ms, worker_publish_retry_ms, worker_publish_retry_max_ms, worker_answer_timeout_ms,
		worker_replication_retry_ms;
	char *worker_discovery_relays;
	char *discovery_public_url, *discovery_display_name, *discovery_region, *discovery_trusted;
	bool discovery_announce, discovery_share_secret, worker_discover;
	uint64_t discovery_ttl_ms, discovery_refresh_ms, worker_discover_interval_ms, worker_gateway_forget_ms;
	bool hypertuna;
	char *log_level;
	bool log_json;
	struct hf_config_relay *relays[HF_CONFIG_RELAY_COUNT_MAX]; /* the first is "main" */
	size_t relay_count;
	char **origins;
	char *file_path; /* what read_file was given; NULL without a file */
};

/* Over HTTP, that is, with a dashboard. */
static inline bool hf_config_is_administered(const struct hf_config *config)
{
	return config->admin_keys[0] || config->admin_token_file[0] || config->admin_certificates[0];
}

extern const struct hf_setting hf_settings[];
extern const size_t hf_setting_count;

/* All defaults and the instance "main". HF_ENOMEM. */
int hf_config_new(struct hf_config **out);
void hf_config_free(struct hf_config *config); /* NULL is fine */
/* Each returns HF_EINVAL with the sentence for an entry that is unknown or wrong, HF_ENOTFOUND or another error for a
 * file that cannot be read, HF_ENOMEM. */
int hf_config_read_file(struct hf_config *config, const char *path, struct hf_failure *failure);
int hf_config_read_environment(struct hf_config *config, char *const *environment, struct hf_failure *failure);
/* flag: without the dashes in front. */
int hf_config_set_flag(struct hf_config *config, const char *flag, const char *value, struct hf_failure *failure);
/* By section and name; origin as hf_config_origin will give it. For [relay] that of main. */
int hf_config_set(struct hf_config *config, const char *section, const char *name, const char *value, const char *origin,
	struct hf_failure *failure);
const struct hf_setting *hf_config_find(const char *section, const char *name); /* or NULL */
/* The setting that a flag would set, or NULL. To know whether it is a bool, whose value may be left out. */
const struct hf_setting *hf_config_find_flag(const struct hf_config *config, const char *flag);
/* What several settings together must meet. Call last. */
int hf_config_check(const struct hf_config *config, struct hf_failure *failure);

/* The value as a person would write it, into out; returns out. relay is NULL for settings outside "relay". */
#define HF_CONFIG_VALUE_BYTES 512
const char *hf_config_value_text(const struct hf_config *config, const struct hf_config_relay *relay,
	const struct hf_setting *setting, char out[static HF_CONFIG_VALUE_BYTES]);
/* Where it came from: "default", "holdfast.conf:12", "HOLDFAST_LOG_LEVEL", "--listen". */
const char *hf_config_origin(const struct hf_config *config, const struct hf_config_relay *relay, const struct hf_setting *setting);

/* What a setting is called as a flag ("--store-quota") and in the environment ("HOLDFAST_STORE_QUOTA"), into out, which is returned; and
 * what kind of value it takes, in words. */
#define HF_CONFIG_FLAG_BYTES 96
char *hf_config_flag_text(const struct hf_setting *setting, char out[static HF_CONFIG_FLAG_BYTES]);
char *hf_config_variable_text(const struct hf_setting *setting, char out[static HF_CONFIG_FLAG_BYTES]);
const char *hf_config_kind_text(const struct hf_setting *setting);
/* "16MiB to 1TiB"; empty for what has no bounds. */
#define HF_CONFIG_RANGE_BYTES 128
char *hf_config_range_text(const struct hf_setting *setting, char out[static HF_CONFIG_RANGE_BYTES]);

/* Every value with its origin, and what every setting (or the one called name: "store.quota" or "quota") is for.
 * HF_ENOTFOUND with the nearest name; HF_ENOMEM. */
int hf_config_show(const struct hf_config *config, bool json, struct hf_buffer *out);
/* A configuration file with every setting, its reason and its default, each behind a semicolon. HF_ENOMEM. */
int hf_config_example(struct hf_buffer *out);
int hf_config_explain(const char *name, bool json, struct hf_buffer *out, struct hf_failure *failure);

#endif
