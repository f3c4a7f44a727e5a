#include "wire/telemetry.h"

#include <stddef.h>

#include "wire/relay_json.h"

#define TIME_MAX ((UINT64_C(1) << 53) - 1) /* and of all other numbers: what JSON's other readers hold exactly */

#define MEMBER(name, read, field, max) {name, read, offsetof(struct hf_telemetry, field), max}
static const struct hf_relay_json_member members[] = {
	MEMBER("latencyMs", hf_relay_json_u32, latency_ms, HF_TELEMETRY_LATENCY_MS_MAX),
	MEMBER("inFlightJobs", hf_relay_json_u32, in_flight_jobs, HF_TELEMETRY_JOBS_MAX),
	MEMBER("queueDepth", hf_relay_json_u32, queue_depth, HF_TELEMETRY_JOBS_MAX),
	MEMBER("failureRate", hf_relay_json_rate, failure_rate, 0),
	MEMBER("hyperbeeKey", hf_relay_json_key, bee_key, 0),
	MEMBER("hyperbeeDiscoveryKey", hf_relay_json_key, bee_discovery_key, 0),
	MEMBER("hyperbeeLength", hf_relay_json_u64, bee_length, TIME_MAX),
	MEMBER("hyperbeeContiguousLength", hf_relay_json_u64, bee_contiguous_length, TIME_MAX),
	MEMBER("hyperbeeLag", hf_relay_json_u64, bee_lag, TIME_MAX),
	MEMBER("hyperbeeVersion", hf_relay_json_u64, bee_version, TIME_MAX),
	MEMBER("hyperbeeLastUpdatedAt", hf_relay_json_u64, bee_updated_at_ms, TIME_MAX),
	MEMBER("hyperbeeServed", hf_relay_json_u64, bee_served, TIME_MAX),
	MEMBER("hyperbeeServedEvents", hf_relay_json_u64, bee_served_events, TIME_MAX),
	MEMBER("hyperbeeFallbacks", hf_relay_json_u64, bee_fallbacks, TIME_MAX),
	MEMBER("hyperbeeErrors", hf_relay_json_u64, bee_errors, TIME_MAX),
	MEMBER("reportedAt", hf_relay_json_u64, reported_at_ms, TIME_MAX),
	MEMBER("tokenExpiresAt", hf_relay_json_u64, token_expires_at_ms, TIME_MAX),
	MEMBER("delegateReqToPeers", hf_relay_json_bool, delegates_requests, 0),
};

int hf_telemetry_parse(struct hf_slice json, struct hf_telemetry *telemetry)
{
	static const uint8_t no_key[32];

	*telemetry = (struct hf_telemetry){0};
	if (json.length > HF_TELEMETRY_BYTES_MAX)
		return HF_ETOOBIG;
	int status = hf_relay_json_read(json, members, sizeof members / sizeof *members, false, telemetry);
	telemetry->has_bee_key = memcmp(telemetry->bee_key, no_key, sizeof no_key) != 0;
	return status;
}

static int put_numbers(const struct hf_telemetry *t, struct hf_buffer *out)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{"latencyMs", t->latency_ms}, {"inFlightJobs", t->in_flight_jobs}, {"hyperbeeVersion", t->bee_version},
		{"hyperbeeLag", t->bee_lag}, {"hyperbeeContiguousLength", t->bee_contiguous_length}, {"hyperbeeLength", t->bee_length},
		{"hyperbeeLastUpdatedAt", t->bee_updated_at_ms}, {"queueDepth", t->queue_depth}, {"reportedAt", t->reported_at_ms},
		{"hyperbeeServed", t->bee_served}, {"hyperbeeServedEvents", t->bee_served_events}, {"hyperbeeFallbacks", t->bee_fallbacks},
		{"hyperbeeErrors", t->bee_errors},
	};
	int status = HF_OK;

	for (size_t i = 0; status == HF_OK && i < sizeof numbers / sizeof *numbers; i++)
		status = hf_relay_json_put_u64(out, numbers[i].name, numbers[i].value);
	if (status == HF_OK && t->token_expires_at_ms > 0)
		status = hf_relay_json_put_u64(out, "tokenExpiresAt", t->token_expires_at_ms);
	return status;
}

int hf_telemetry_write(const struct hf_telemetry *t, const uint8_t peer_key[HF_STATIC 32], struct hf_buffer *out)
{
	int status = hf_buffer_append_text(out, "{");

	if (status == HF_OK)
		status = hf_relay_json_put_hex(out, "peerId", peer_key, 32);
	if (status == HF_OK)
		status = put_numbers(t, out);
	if (status == HF_OK)
		status = hf_buffer_printf(out, ",\"failureRate\":%u.%04u", t->failure_rate >= 1 ? 1 : 0,
			t->failure_rate >= 1 || t->failure_rate <= 0 ? 0 : (unsigned)(t->failure_rate * 10000));
	if (status == HF_OK && t->has_bee_key)
		status = hf_relay_json_put_hex(out, "hyperbeeKey", t->bee_key, 32);
	if (status == HF_OK && t->has_bee_key)
		status = hf_relay_json_put_hex(out, "hyperbeeDiscoveryKey", t->bee_discovery_key, 32);
	if (status == HF_OK && t->delegates_requests)
		status = hf_relay_json_put_bool(out, "delegateReqToPeers", true);
	return status == HF_OK ? hf_buffer_append_text(out, "}") : status;
}
