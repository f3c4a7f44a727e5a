/* landing: the page that a browser gets: what this relay is, its address to copy, and the facts of its NIP-11
 * document. One file without outside resources, light or dark as the reader's system is. It comes in two halves;
 * the address stands between them, and the script fills in wss:// where the page came by https. */
#include "service/relay/internal.h"

static const char style[] =
	":root{color-scheme:light dark;--back:#fbfaf8;--text:#1c1b1a;--soft:#5c5852;--line:#dedad2;--accent:#0b6b5d;--on:#fff}"
	"@media(prefers-color-scheme:dark){:root{--back:#151716;--text:#ecebe7;--soft:#aaa79f;--line:#343836;--accent:#4fc3ad;--on:#0d1a17}}"
	"*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--text);font:1.05rem/1.6 system-ui,sans-serif}"
	"main{max-width:42rem;margin:0 auto;padding:clamp(1.5rem,6vw,5rem) 1.25rem}"
	"h1{font-size:clamp(1.8rem,6vw,2.6rem);line-height:1.15;margin:0 0 .5rem;overflow-wrap:anywhere}"
	"h2{font-size:1.1rem;margin:2.5rem 0 .5rem}p{margin:.5rem 0}.soft{color:var(--soft)}"
	".address{display:flex;flex-wrap:wrap;gap:0 .75rem;align-items:center;margin:1.5rem 0;padding:1rem;"
	"border:1px solid var(--line);border-radius:.6rem}"
	"code{font:1rem/1.4 ui-monospace,monospace;overflow-wrap:anywhere}.address code{flex:1 1 14rem}"
	"button{font:inherit;padding:.45rem 1.1rem;border:0;border-radius:.4rem;background:var(--accent);color:var(--on);cursor:pointer}"
	"a{color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
	"dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:0 1.5rem;margin:0}"
	"dt,dd{margin:0;padding:.4rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}dt{color:var(--soft)}"
	"@media(max-width:30rem){dl{grid-template-columns:1fr}dd{border:0;padding-top:0}}";

static const char script[] =
	"(function(){var a=document.getElementById('address'),b=document.getElementById('copy'),s=document.getElementById('said');"
	"if(location.protocol==='https:')a.textContent=a.textContent.replace(/^ws:/,'wss:');"
	"if(!navigator.clipboard)return;b.hidden=false;b.addEventListener('click',function(){"
	"navigator.clipboard.writeText(a.textContent).then(function(){s.textContent='Copied.'},function(){"
	"s.textContent='Copying was refused; select the address instead.'})})})()";

static int escaped(struct hf_buffer *out, const char *text)
{
	int r = HF_OK;
	for (; r == HF_OK && *text; text++) {
		const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '"' ? "&quot;" :
			*text == '\'' ? "&#39;" : NULL;
		r = entity ? hf_buffer_append_text(out, entity) : hf_buffer_append(out, text, 1);
	}
	return r;
}

static int fact(struct hf_buffer *out, const char *name, const char *text)
{
	if (!text[0])
		return HF_OK;
	int r = hf_buffer_printf(out, "<dt>%s</dt><dd>", name);
	if (r == HF_OK)
		r = escaped(out, text);
	return r == HF_OK ? hf_buffer_append_text(out, "</dd>") : r;
}

static int append_head(const struct hf_config_relay *settings, struct hf_buffer *out)
{
	int r = hf_buffer_append_text(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" href=\"data:,\"><title>");
	if (r == HF_OK)
		r = escaped(out, settings->name);
	if (r == HF_OK)
		r = hf_buffer_printf(out, " – a Nostr relay</title><style>%s</style></head><body><main><h1>", style);
	if (r == HF_OK)
		r = escaped(out, settings->name);
	if (r == HF_OK)
		r = hf_buffer_append_text(out, "</h1><p>");
	if (r == HF_OK)
		r = escaped(out, settings->description);
	return r == HF_OK ? hf_buffer_append_text(out, "</p><div class=\"address\"><code id=\"address\">") : r;
}

static int append_facts(const struct hf_config_relay *settings, const struct hf_relay *relay, struct hf_buffer *out)
{
	int r = hf_buffer_append_text(out, "</code><button id=\"copy\" type=\"button\" hidden>Copy</button>"
		"<span id=\"said\" role=\"status\" class=\"soft\"></span></div>"
		"<p>This is the address of a <a href=\"https://nostr.com\">Nostr</a> relay. Add it to the list of relays in your client.</p>"
		"<h2>Facts</h2><dl>");
	if (r == HF_OK)
		r = fact(out, "Protocols (NIPs)", "1, 9, 11, 40, 42, 45, 70");
	if (r == HF_OK)
		r = fact(out, "Who may write", hf_relay_writers_is_open(relay->policy.writers) ? "everybody" : "chosen authors");
	if (r == HF_OK)
		r = fact(out, "Private messages", settings->private_reads ? "read only by those involved, after authentication" : "");
	if (r == HF_OK)
		r = hf_buffer_printf(out, "<dt>Size of an event</dt><dd>at most %llu KiB</dd><dt>Stored events per filter</dt><dd>at most %llu</dd>"
			"<dt>Subscriptions</dt><dd>at most %llu on a connection</dd>", (unsigned long long)settings->event_bytes_max / 1024,
			(unsigned long long)settings->limit_max, (unsigned long long)settings->subscriptions_max);
	if (r == HF_OK)
		r = fact(out, "Contact", settings->contact);
	if (r == HF_OK)
		r = fact(out, "Operator", settings->pubkey);
	if (r == HF_OK)
		r = fact(out, "Software", "Holdfast " HF_VERSION);
	return r == HF_OK ? hf_buffer_append_text(out, "</dl>") : r;
}

int hf_relay_landing_build(const struct hf_config_relay *settings, const struct hf_relay *relay,
	struct hf_buffer *head, struct hf_buffer *tail)
{
	int r = append_head(settings, head);
	if (r == HF_OK)
		r = append_facts(settings, relay, tail);
	return r == HF_OK ? hf_buffer_printf(tail, "<script>%s</script></main></body></html>\n", script) : r;
}
