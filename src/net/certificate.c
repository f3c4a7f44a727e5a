#include "net/certificate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t seconds_of(const ASN1_TIME *at)
{
	struct tm parts = {0};
	return ASN1_TIME_to_tm(at, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static void read_names(X509 *certificate, char *out, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t used = 0;
	out[0] = '\0';
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS || used >= size)
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%.*s", used ? "," : "", ASN1_STRING_length(name->d.dNSName),
			(const char *)ASN1_STRING_get0_data(name->d.dNSName));
	}
	GENERAL_NAMES_free(names);
}

int hf_certificate_read(const char *path, struct hf_certificate_facts *facts, struct hf_failure *failure)
{
	FILE *file = fopen(path, "re");
	X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
	*facts = (struct hf_certificate_facts){0};
	if (file)
		fclose(file);
	if (!certificate)
		return hf_fail(failure, HF_EINVAL, file ? "%s has no certificate in PEM." : "The certificate %s cannot be read.", path);
	facts->begins_at_s = seconds_of(X509_get0_notBefore(certificate));
	facts->ends_at_s = seconds_of(X509_get0_notAfter(certificate));
	read_names(certificate, facts->names, sizeof facts->names);
	X509_free(certificate);
	return HF_OK;
}
