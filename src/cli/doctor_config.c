/* doctor_config: a configuration that is right may still be unwise: what strangers could do with it, and what ends by itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "cli/doctor.h"
#include "net/certificate.h"
#include "net/tls.h"
#include "service/aliases.h"

#define DAY_S 86400
#define CERTIFICATE_SOON_DAYS 14

/* ---- Who can read it ---- */

/* Whether the folders above it let others come as far as its own mode. */
static bool others_reach(const char *path)
{
	struct stat status;
	char *real = realpath(path, NULL), *slash;
	bool is_open = real != NULL;
	while (is_open && (slash = strrchr(real, '/')) != NULL) {
		*slash = '\0';
		is_open = stat(slash == real ? "/" : real, &status) == 0 && (status.st_mode & 001);
	}
	free(real);
	return is_open;
}

/* Closes a file to others, and not to the service, which may have been one of them: that is who owns the data, if it is there. */
static const char *closing(const struct hf_doctor *d, const char *path, const struct stat *status, char out[static HF_DOCTOR_TEXT_BYTES])
{
	uid_t user = d->has_data ? d->data_status.st_uid : geteuid();
	gid_t group = d->has_data ? d->data_status.st_gid : getegid();
	if (user == 0 || status->st_uid == user)
		return hf_doctor_text(out, "chmod o= %s", path);
	return hf_doctor_text(out, "sudo chgrp %u %s && sudo chmod g+r,o= %s", (unsigned)group, path, path);
}
#define CLOSING(path, status) closing(d, path, status, (char[HF_DOCTOR_TEXT_BYTES]){0})

/* ---- What strangers may do ---- */

static void look_at_registration(struct hf_doctor *d)
{
	const struct hf_config *c = d->config;
	if (!c->workers)
		return;
	if (c->registration_open && hf_doctor_is_public(d))
		hf_doctor_find(d, HF_DOCTOR_WARNING, "registration", "registration.open = yes, and strangers can reach the gateway.",
			"Everybody may register relays here, and have their traffic served under your name.",
			HF_DOCTOR_SET(d, "registration", "open", "no"));
	else if (!c->registration_open && !c->registration_secret[0] && !c->registration_allow[0])
		hf_doctor_find(d, HF_DOCTOR_WARNING, "registration", "workers.enabled = yes, but nobody may register: there is no secret, no list, and "
			"it is not open.",
			"No worker's relay will ever be served.", HF_DOCTOR_SET(d, "registration", "secret", "$(openssl rand -hex 32)"));
	else if (c->registration_secret[0] && strlen(c->registration_secret) < 16)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "registration", "registration.secret is shorter than 16 characters.",
			"It can be guessed, and who has it may register relays.", HF_DOCTOR_SET(d, "registration", "secret", "$(openssl rand -hex 32)"));
	else
		hf_doctor_ok(d, "registration", c->registration_open ? "open, on this machine only" : "for those who are allowed");
	if (c->hypertuna && hf_doctor_is_public(d))
		hf_doctor_find(d, HF_DOCTOR_WARNING, "registration", "compatibility.hypertuna = yes, and strangers can reach the gateway.",
			"Who speaks as Hypertuna's programs do proves less of who he is.", HF_DOCTOR_SET(d, "compatibility", "hypertuna", "no"));
}

static void look_at_proxies(struct hf_doctor *d)
{
	const char *list = d->config->trusted_proxies;
	char word[HF_ADDRESS_TEXT_BYTES];
	struct hf_address_range range;
	while (hf_doctor_next_word(&list, sizeof word, word)) {
		static const uint8_t ipv4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
		if (hf_address_range_parse(word, &range) < 0)
			continue;
		unsigned bits = memcmp(range.ip, ipv4, sizeof ipv4) == 0 && range.prefix_bits >= 96 ? range.prefix_bits - 96u : range.prefix_bits;
		if (bits < 8)
			hf_doctor_find(d, HF_DOCTOR_WARNING, "proxies", HF_DOCTOR_TEXT("gateway.trusted_proxies has %s, which is nearly everybody.", word),
				"Who is in it says himself what his address is, and no limit by address holds for him.",
				HF_DOCTOR_SET(d, "gateway", "trusted_proxies", "127.0.0.1, ::1"));
	}
}

static bool listens_beyond(const char *list)
{
	char word[HF_ADDRESS_TEXT_BYTES];
	struct hf_address address;
	while (hf_doctor_next_word(&list, sizeof word, word))
		if (hf_address_parse(word, &address, NULL) == HF_OK && hf_address_class(&address) != HF_ADDRESS_LOOPBACK)
			return true;
	return false;
}

static void look_at_strangers(struct hf_doctor *d)
{
	const struct hf_config *c = d->config;
	bool direct = listens_beyond(c->listen), any = direct || listens_beyond(c->tls_listen);
	if (direct && !c->trusted_proxies[0])
		hf_doctor_find(d, HF_DOCTOR_WARNING, "encryption", HF_DOCTOR_TEXT("gateway.listen = %s takes strangers without TLS.", c->listen),
			"Whoever is on the way reads what private relays say, and takes tokens. Pages over https cannot open ws:// addresses.",
			HF_DOCTOR_SET(d, "gateway", "listen", "127.0.0.1:7777"));
	if (any && !c->trusted_proxies[0] && c->connections_per_address_max == 0)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "limits", "gateway.connections_per_address_max = 0, and strangers can reach the gateway.",
			"One stranger can take all connections.", HF_DOCTOR_SET(d, "gateway", "connections_per_address_max", "100"));
	if (hf_doctor_is_public(d) && !c->relays[0]->public_url[0])
		hf_doctor_find(d, HF_DOCTOR_WARNING, "public address", "relay.public_url is not set, and clients come by a name or through a proxy.",
			"Authentication (NIP-42) is refused to those who come by a name that the gateway does not know as its own.",
			HF_DOCTOR_SET(d, "relay", "public_url", HF_DOCTOR_TEXT("wss://%s", "relay.example.org")));
	if (c->swarm && !c->swarm_bootstrap[0])
		hf_doctor_find(d, HF_DOCTOR_WARNING, "swarm", "gateway.swarm = yes, and swarm.bootstrap names no node.",
			"Nobody is contacted, so nobody finds the gateway, and no worker comes.", HF_DOCTOR_SET(d, "swarm", "bootstrap", "public"));
}

/* ---- Certificates ---- */

static const char *renewal(const struct hf_doctor *d, char out[static HF_DOCTOR_TEXT_BYTES])
{
	return hf_doctor_text(out, "sudo certbot renew && sudo systemctl reload holdfast\nopenssl x509 -noout -dates -in %s",
		d->config->tls_certificate);
}
#define RENEWAL(doctor) renewal(doctor, (char[HF_DOCTOR_TEXT_BYTES]){0})

static void look_at_dates(struct hf_doctor *d)
{
	struct hf_certificate_facts facts;
	struct hf_failure failure = {0};
	int64_t now_s = (int64_t)hf_env_wall_s(&d->cli->env);
	if (hf_certificate_read(d->config->tls_certificate, &facts, &failure) < 0)
		return;
	long long days = (long long)(facts.ends_at_s - now_s) / DAY_S;
	if (facts.ends_at_s <= now_s)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "certificate", HF_DOCTOR_TEXT("The certificate ended %lld days ago.", -days),
			"Clients refuse the connection.", RENEWAL(d));
	else if (facts.begins_at_s > now_s)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "certificate", "The certificate is not valid yet.", "Clients refuse the connection; or the clock is "
			"wrong.",
			"timedatectl");
	else if (days < CERTIFICATE_SOON_DAYS)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "certificate", HF_DOCTOR_TEXT("The certificate ends in %lld days.", days),
			"What should have renewed it by now has not. When it ends, clients refuse the connection.", RENEWAL(d));
	else
		hf_doctor_ok(d, "certificate", HF_DOCTOR_TEXT("good for %lld days%s%s", days, facts.names[0] ? ", for " : "", facts.names));
}

static void look_at_certificate(struct hf_doctor *d)
{
	const struct hf_config *c = d->config;
	struct hf_failure failure = {0};
	struct hf_tls *tls = NULL;
	struct stat status;
	if (!c->tls_certificate[0])
		return;
	if (hf_tls_server_new(&tls, c->tls_certificate, c->tls_key, &failure) < 0)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "certificate", failure.text, "The gateway does not start with it, or keeps the old one.",
			HF_DOCTOR_TEXT("openssl x509 -noout -pubkey -in %s; openssl pkey -pubout -in %s", c->tls_certificate, c->tls_key));
	else
		look_at_dates(d);
	hf_tls_free(tls);
	if (stat(c->tls_key, &status) == 0 && (status.st_mode & 007) && others_reach(c->tls_key))
		hf_doctor_find(d, HF_DOCTOR_FAULT, "secrets", HF_DOCTOR_TEXT("%s can be read by everybody (mode %03o).", c->tls_key,
			status.st_mode & 0777),
			"Who has the key can pretend to be this server.", CLOSING(c->tls_key, &status));
}

/* ---- The file ---- */

static bool has_secret(const struct hf_config *c)
{
	for (size_t i = 0; i < hf_setting_count; i++)
		if (hf_settings[i].type == HF_SETTING_SECRET && c->file_path &&
			strncmp(hf_config_origin(c, NULL, &hf_settings[i]), c->file_path, strlen(c->file_path)) == 0)
			return true;
	return false;
}

static void look_at_configuration_file(struct hf_doctor *d)
{
	struct stat status;
	const char *path = d->config->file_path;
	if (!path || stat(path, &status) < 0 || !others_reach(path))
		return;
	if ((status.st_mode & 007) && has_secret(d->config))
		hf_doctor_find(d, HF_DOCTOR_FAULT, "secrets", HF_DOCTOR_TEXT("%s has a secret in it and can be read by everybody (mode %03o).", path,
			status.st_mode & 0777), "Who has the secret may register relays, or read the shared state.", CLOSING(path, &status));
	if (status.st_mode & 002)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "secrets", HF_DOCTOR_TEXT("%s can be written by everybody (mode %03o).", path, status.st_mode & 0777),
			"Whoever changes it decides what the gateway does.", CLOSING(path, &status));
}

/* ---- Names of the deployed system ---- */

static void tell_alias(void *context, const struct hf_alias_use *use)
{
	struct hf_doctor *d = context;
	hf_doctor_find(d, HF_DOCTOR_WARNING, "environment", use->sentence, use->is_used
		? "It is taken, so that a deployment can move here as it is; the old names will not gain new settings."
		: "It does nothing here, and whoever set it expects something of it.", HF_DOCTOR_TEXT("unset %s", use->variable));
}

void hf_doctor_look_at_configuration(struct hf_doctor *d)
{
	hf_aliases_each_use(d->config, environ, tell_alias, d);
	if (!d->is_config_right)
		return;
	hf_doctor_ok(d, "configuration", d->config->file_path ? d->config->file_path : "no file: defaults, environment and flags");
	look_at_configuration_file(d);
	look_at_registration(d);
	look_at_proxies(d);
	look_at_strangers(d);
	look_at_certificate(d);
}
