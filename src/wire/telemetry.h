/* telemetry: what a worker tells of itself every few seconds, as JSON. (spec: gateway, section 3.6)
 *
 * It is the worker's word for it: fit for a page, and to be counted against the worker, never for it. Absent and null are 0.
 */
#ifndef HF_WIRE_TELEMETRY_H
#define HF_WIRE_TELEMETRY_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_TELEMETRY_INTERVAL_MS 15000u
#define HF_TELEMETRY_BYTES_MAX 16384u
#define HF_TELEMETRY_LATENCY_MS_MAX 600000u /* greater ones are taken for this */
#define HF_TELEMETRY_JOBS_MAX 1000000u

struct hf_telemetry {
	uint32_t latency_ms;
	uint32_t in_flight_jobs, queue_depth;
	double failure_rate; /* 0 to 1 */
	bool has_bee_key;
	uint8_t bee_key[32], bee_discovery_key[32];
	uint64_t bee_length, bee_contiguous_length, bee_lag, bee_version;
	uint64_t bee_updated_at_ms;
	uint64_t bee_served, bee_served_events, bee_fallbacks, bee_errors;
	uint64_t reported_at_ms, token_expires_at_ms; /* Unix time */
	bool delegates_requests;
};

/* Unknown members are skipped, numbers above the bounds cut to them. HF_EMALFORMED: not an object, or a member that is not what it should
 * be (a number below 0, a rate above 1, a key that is no hex); HF_ETOOBIG: more than HF_TELEMETRY_BYTES_MAX. */
int hf_telemetry_parse(struct hf_slice json, struct hf_telemetry *telemetry);
/* Appends the JSON text. HF_ENOMEM. */
int hf_telemetry_write(const struct hf_telemetry *telemetry, const uint8_t peer_key[static 32], struct hf_buffer *out);

#endif
