/* One announcement is made for all who come within half of the refresh time. A socket that has opened is written to and closed at once, so
 * none outlives the iteration it opened in, and its end is nobody's concern. */
#include "service/gateway/advertise.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/options.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

static struct hf_log_module log_module = HF_LOG_MODULE("discovery");

struct hf_advertiser {
	struct hf_advertiser_options options;
	struct hf_swarm *swarm;
	struct hf_buffer bytes; /* the announcement */
	uint64_t made_us, good_us;
	struct hf_counter sent, failed;
};

/* The key of the server. It proves nothing: the announcement is signed. */
static void derive_server_secret(uint8_t out[static HF_SIGN_SECRET_BYTES], const uint8_t *secret_key)
{
	uint8_t seed[HF_SIGN_SEED_BYTES], public_key[HF_SIGN_PUBLIC_BYTES];
	hf_blake2b(seed, sizeof seed, hf_slice(secret_key, HF_SIGN_SEED_BYTES), HF_SLICE_LITERAL("holdfast-discovery-server-v1"));
	hf_sign_keypair_from_seed(public_key, out, seed);
	hf_wipe(seed, sizeof seed);
}

static int make(struct hf_advertiser *a, uint64_t now_us)
{
	struct hf_announcement announcement = {.protocol_version = 1, .has_extension = true};
	uint64_t refresh_ms = 0;
	announcement.timestamp_ms = hf_env_wall_ms(hf_loop_env(a->options.loop));
	a->options.describe(a->options.context, &announcement, &refresh_ms);
	int r = hf_announcement_sign(&announcement, a->options.secret_key);
	hf_buffer_clear(&a->bytes);
	if (r == HF_OK)
		r = hf_announcement_encode(&announcement, &a->bytes);
	if (r < 0)
		hf_buffer_clear(&a->bytes); /* half of one is none */
	a->made_us = now_us;
	a->good_us = refresh_ms * 500;
	return r;
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct hf_advertiser *a = context;
	uint64_t now_us = hf_loop_now_us(a->options.loop);
	int r = a->bytes.length > 0 && now_us - a->made_us < a->good_us ? HF_OK : make(a, now_us);
	if (r == HF_OK)
		r = hf_peer_socket_write(socket, hf_buffer_slice(&a->bytes));
	hf_counter_add(r == HF_OK ? &a->sent : &a->failed, 1);
	if (r < 0)
		hf_log_warn(&log_module, "the gateway could not be announced to somebody", "reason=\"%s\"", hf_error_text(r));
	hf_peer_socket_close(socket);
}

static void on_message(void *context, struct hf_peer_socket *socket, struct hf_slice message)
{
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .message = on_message, .closed = on_closed};

static int join(struct hf_advertiser *a, struct hf_failure *failure)
{
	const struct hf_advertiser_options *o = &a->options;
	uint8_t secret[HF_SIGN_SECRET_BYTES], topic[32];
	struct hf_swarm_session *session;
	struct hf_peer_socket_options socket = {.size = sizeof socket, .loop = o->loop, .events = &socket_events, .context = a};
	struct hf_swarm_options swarm = {.size = sizeof swarm, .connector = o->connector, .static_secret = secret, .socket = &socket,
		.server_connection_count_max = HF_ADVERTISE_LISTENER_COUNT_MAX};
	derive_server_secret(secret, o->secret_key);
	int r = hf_swarm_new(&a->swarm, &swarm, failure);
	hf_wipe(secret, sizeof secret);
	hf_blake2b(topic, sizeof topic, hf_slice(NULL, 0), HF_SLICE_LITERAL(HF_ANNOUNCEMENT_TOPIC));
	if (r == HF_OK && (r = hf_swarm_join(a->swarm, topic, HF_SWARM_SERVER, 0, &session)) < 0)
		hf_fail(failure, r, "The gateway cannot be announced: %s.", hf_error_text(r));
	return r;
}

int hf_advertiser_new(struct hf_advertiser **out, const struct hf_advertiser_options *given, struct hf_failure *failure)
{
	static const char name[] = "holdfast_discovery_announcements_total", help[] = "Announcements of this gateway to those who asked";
	struct hf_advertiser_options options;
	*out = NULL;
	int r = hf_options_take(&options, sizeof options, given);
	struct hf_advertiser *a = r == HF_OK ? calloc(1, sizeof *a) : NULL;
	if (!a)
		return hf_fail(failure, r < 0 ? r : HF_ENOMEM, "The gateway cannot be announced: %s.", hf_error_text(r < 0 ? r : HF_ENOMEM));
	a->options = options;
	if (options.metrics) {
		hf_counter_register(options.metrics, &a->sent, name, "result=\"sent\"", help);
		hf_counter_register(options.metrics, &a->failed, name, "result=\"failed\"", help);
	}
	r = join(a, failure);
	if (r < 0)
		hf_advertiser_free(a);
	else
		*out = a;
	return r;
}

static void on_left(void *context)
{
}

void hf_advertiser_close(struct hf_advertiser *advertiser)
{
	if (advertiser)
		hf_swarm_close(advertiser->swarm, on_left, advertiser);
}

void hf_advertiser_free(struct hf_advertiser *advertiser)
{
	if (!advertiser)
		return;
	hf_swarm_free(advertiser->swarm);
	if (advertiser->options.metrics) {
		hf_metric_unregister(advertiser->options.metrics, &advertiser->sent.link);
		hf_metric_unregister(advertiser->options.metrics, &advertiser->failed.link);
	}
	hf_buffer_free(&advertiser->bytes);
	free(advertiser);
}
