/* The handshake of hypertuna-relay-v2: JSON to and from struct hf_relay_handshake. */
#include "wire/relay_channel.h"
#include "wire/relay_json.h"

#define NUMBER_MAX ((UINT64_C(1) << 53) - 1)
#define CAPABILITY_COUNT_MAX 32

static const struct {
	const char *name;
	unsigned bit;
} capabilities[] = {
	{"http", HF_RELAY_HTTP},
	{"websocket", HF_RELAY_WEBSOCKET},
	{"health", HF_RELAY_HEALTH},
	{"telemetry", HF_RELAY_TELEMETRY},
	{"stream", HF_RELAY_STREAM},
	{"resume", HF_RELAY_RESUME},
};

/* What is read, before it is put together. */
struct reading {
	struct hf_relay_handshake handshake;
	bool is_gateway, is_replica;
};

/* ---- Reading ---- */

static int read_capabilities(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	struct hf_json_token token;
	unsigned *bits = at;
	size_t count = 0;
	int status = hf_relay_json_enter(in, HF_JSON_ARRAY);

	while (status == HF_OK && (status = hf_json_next(in, &token)) == HF_OK && token.type != HF_JSON_ARRAY_END) {
		if (++count > CAPABILITY_COUNT_MAX)
			return HF_ETOOBIG;
		if (token.type == HF_JSON_OBJECT || token.type == HF_JSON_ARRAY)
			status = hf_json_leave(in);
		for (size_t i = 0; token.type == HF_JSON_STRING && i < sizeof capabilities / sizeof *capabilities; i++)
			if (hf_slice_equal(token.raw, hf_slice_text(capabilities[i].name)))
				*bits |= capabilities[i].bit;
	}
	return status;
}

static int read_role(struct hf_json *in, const struct hf_relay_json_member *member, void *at)
{
	enum hf_relay_role *role = at;
	struct hf_json_token token;
	int status = hf_relay_json_scalar(in, &token);

	if (status != HF_OK || token.type != HF_JSON_STRING)
		return status;
	if (hf_slice_equal(token.raw, HF_SLICE_LITERAL("gateway")))
		*role = HF_RELAY_ROLE_GATEWAY;
	else if (hf_slice_equal(token.raw, HF_SLICE_LITERAL("gateway-replica")))
		*role = HF_RELAY_ROLE_REPLICA;
	return HF_OK;
}

#define MEMBER(name, read, field, max) {name, read, offsetof(struct reading, field), max}
static const struct hf_relay_json_member members[] = {
	MEMBER("capabilities", read_capabilities, handshake.capabilities, 0),
	MEMBER("role", read_role, handshake.role, 0),
	MEMBER("isServer", hf_relay_json_bool, handshake.is_server, 0),
	MEMBER("isGateway", hf_relay_json_bool, is_gateway, 0),
	MEMBER("gatewayReplica", hf_relay_json_bool, is_replica, 0),
	MEMBER("hyperbeeKey", hf_relay_json_key, handshake.bee.key, 0),
	MEMBER("hyperbeeDiscoveryKey", hf_relay_json_key, handshake.bee.discovery_key, 0),
	MEMBER("hyperbeeLength", hf_relay_json_u64, handshake.bee.length, NUMBER_MAX),
	MEMBER("hyperbeeContiguousLength", hf_relay_json_u64, handshake.bee.contiguous_length, NUMBER_MAX),
	MEMBER("hyperbeeLag", hf_relay_json_u64, handshake.bee.lag, NUMBER_MAX),
	MEMBER("hyperbeeVersion", hf_relay_json_u64, handshake.bee.version, NUMBER_MAX),
	MEMBER("hyperbeeUpdatedAt", hf_relay_json_u64, handshake.bee.updated_at_ms, NUMBER_MAX),
};

int hf_relay_handshake_parse(struct hf_slice json, struct hf_relay_handshake *handshake)
{
	static const uint8_t no_key[32];
	struct reading reading = {0};
	int status = hf_relay_json_read(json, members, sizeof members / sizeof *members, true, &reading);

	*handshake = (struct hf_relay_handshake){0};
	if (status != HF_OK)
		return status == HF_ETOOBIG ? HF_EMALFORMED : status;
	if (reading.handshake.role == HF_RELAY_ROLE_OTHER && reading.is_gateway)
		reading.handshake.role = HF_RELAY_ROLE_GATEWAY;
	else if (reading.handshake.role == HF_RELAY_ROLE_OTHER && reading.is_replica)
		reading.handshake.role = HF_RELAY_ROLE_REPLICA;
	*handshake = reading.handshake;
	handshake->bee.has_key = memcmp(handshake->bee.key, no_key, sizeof no_key) != 0;
	handshake->members = json;
	return HF_OK;
}

/* ---- Writing ---- */

static int put_capabilities(struct hf_buffer *out, unsigned bits)
{
	bool is_first = true;
	int status = hf_relay_json_put_name(out, "capabilities");

	for (size_t i = 0; status == HF_OK && i < sizeof capabilities / sizeof *capabilities; i++) {
		if ((bits & capabilities[i].bit) == 0)
			continue;
		status = hf_buffer_printf(out, "%s\"%s\"", is_first ? "[" : ",", capabilities[i].name);
		is_first = false;
	}
	return status == HF_OK ? hf_buffer_append_text(out, is_first ? "[]" : "]") : status;
}

static int put_bee(struct hf_buffer *out, const struct hf_relay_bee_info *bee)
{
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
		{"hyperbeeLength", bee->length}, {"hyperbeeContiguousLength", bee->contiguous_length}, {"hyperbeeLag", bee->lag},
		{"hyperbeeVersion", bee->version}, {"hyperbeeUpdatedAt", bee->updated_at_ms},
	};
	int status = hf_relay_json_put_hex(out, "hyperbeeKey", bee->key, 32);

	if (status == HF_OK)
		status = hf_relay_json_put_hex(out, "hyperbeeDiscoveryKey", bee->discovery_key, 32);
	for (size_t i = 0; status == HF_OK && i < sizeof numbers / sizeof *numbers; i++)
		status = hf_relay_json_put_u64(out, numbers[i].name, numbers[i].value);
	return status;
}

int hf_relay_handshake_write(const struct hf_relay_handshake *h, struct hf_buffer *out)
{
	static const char *const roles[] = {
		[HF_RELAY_ROLE_OTHER] = "client", [HF_RELAY_ROLE_GATEWAY] = "gateway", [HF_RELAY_ROLE_REPLICA] = "gateway-replica"};
	int status = hf_buffer_append_text(out, "{\"version\":\"2.0\"");

	if (status == HF_OK)
		status = hf_relay_json_put_bool(out, "isServer", h->is_server);
	if (status == HF_OK)
		status = put_capabilities(out, h->capabilities);
	if (status == HF_OK)
		status = hf_relay_json_put_bool(out, "isGateway", h->role == HF_RELAY_ROLE_GATEWAY);
	if (status == HF_OK)
		status = hf_relay_json_put_bool(out, "gatewayReplica", h->role == HF_RELAY_ROLE_REPLICA);
	if (status == HF_OK)
		status = hf_relay_json_put_text(out, "role", hf_slice_text(roles[h->role]));
	if (status == HF_OK && h->bee.has_key)
		status = put_bee(out, &h->bee);
	if (status == HF_OK && h->members.length > 0)
		status = hf_buffer_append_text(out, ",");
	if (status == HF_OK && h->members.length > 0)
		status = hf_buffer_append(out, h->members.data, h->members.length);
	return status == HF_OK ? hf_buffer_append_text(out, "}") : status;
}
