/* supervise: one poll over the signals and the parts' output; a pipe's end says that a part is gone. */
#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "cli/command.h"
#include "cli/terminal.h"

#define ARGUMENT_COUNT_MAX 32
#define EXEC_FAILED 127

struct supervision {
	const struct hf_supervise_options *options;
	int signals;
	int code;             /* to end with */
	uint64_t kill_at_ms;  /* when the one that is being ended has had its time; 0: none */
	bool is_ending, was_ready;
};

static uint64_t now_ms(const struct supervision *s)
{
	return hf_env_monotonic_ms(s->options->env);
}

/* ---- A part's process ---- */

static void become(const struct hf_part *part, int output, pid_t parent)
{
	const char *arguments[ARGUMENT_COUNT_MAX + 2] = {"holdfast"};
	sigset_t none;
	for (size_t i = 0; i < ARGUMENT_COUNT_MAX && part->arguments[i]; i++)
		arguments[i + 1] = part->arguments[i];
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0); /* a terminal's ^C is for the supervisor, which ends the parts in order */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	int nothing = open("/dev/null", O_RDONLY);
	dup2(nothing, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execv("/proc/self/exe", (char *const *)arguments);
	fprintf(stderr, "the program cannot be started: %s\n", strerror(errno));
	_exit(EXEC_FAILED);
}

static void start(struct supervision *s, struct hf_part *part)
{
	int pipe_ends[2];
	pid_t parent = getpid();
	part->started_ms = now_ms(s);
	part->start_at_ms = 0;
	part->is_ready = false;
	part->process = -1;
	if (pipe2(pipe_ends, O_CLOEXEC) == 0) {
		part->process = fork();
		if (part->process == 0)
			become(part, pipe_ends[1], parent);
		close(pipe_ends[1]);
		part->output = pipe_ends[0];
		if (part->process < 0)
			close(pipe_ends[0]);
	}
	if (part->process < 0) {
		fprintf(stderr, "%s | cannot be started: %s\n", part->name, strerror(errno));
		part->process = 0;
		part->start_at_ms = now_ms(s) + HF_SUPERVISE_WAIT_MS_MAX;
	}
}

static void end(struct supervision *s, int code)
{
	if (!s->is_ending)
		s->code = code;
	s->is_ending = true;
}

/* It was not told to end. */
static void plan_restart(struct supervision *s, struct hf_part *part, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	bool is_hopeless = code == HF_CLI_USAGE || code == HF_CLI_CONFIG || code == HF_CLI_DATA || code == HF_CLI_CORRUPT || code == EXEC_FAILED;
	if (is_hopeless || (!s->was_ready && code > 0)) {
		end(s, code);
		return;
	}
	bool was_long = now_ms(s) - part->started_ms >= HF_SUPERVISE_PROVEN_MS;
	part->wait_ms = was_long || part->wait_ms == 0 ? HF_SUPERVISE_WAIT_MS_MIN
		: part->wait_ms < HF_SUPERVISE_WAIT_MS_MAX / 2 ? 2 * part->wait_ms : HF_SUPERVISE_WAIT_MS_MAX;
	part->start_at_ms = now_ms(s) + part->wait_ms;
	if (WIFSIGNALED(status))
		fprintf(stderr, "%s | was ended by signal %d; started again in %llu ms\n", part->name, WTERMSIG(status),
			(unsigned long long)part->wait_ms);
	else
		fprintf(stderr, "%s | ended with code %d; started again in %llu ms\n", part->name, code, (unsigned long long)part->wait_ms);
}

static void tell_line(struct supervision *s, struct hf_part *part)
{
	part->line[part->line_length] = '\0';
	fprintf(stderr, "%s | ", part->name);
	hf_terminal_text(stderr, hf_slice(part->line, part->line_length));
	fputc('\n', stderr);
	part->line_length = 0;
	if (part->is_ready)
		return;
	if (s->options->heard)
		s->options->heard(s->options->context, part, part->line);
	part->is_ready = strncmp(part->line, part->ready, strlen(part->ready)) == 0;
}

static void gone(struct supervision *s, struct hf_part *part)
{
	int status = 0;
	if (part->line_length > 0)
		tell_line(s, part);
	close(part->output);
	while (waitpid(part->process, &status, 0) < 0 && errno == EINTR)
		;
	part->process = 0;
	part->is_ready = false;
	s->kill_at_ms = 0;
	if (!s->is_ending)
		plan_restart(s, part, status);
}

static void read_output(struct supervision *s, struct hf_part *part)
{
	char bytes[4096];
	ssize_t length = read(part->output, bytes, sizeof bytes);
	if (length < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	for (ssize_t i = 0; i < length; i++) {
		if (bytes[i] != '\n')
			part->line[part->line_length++] = bytes[i];
		if (bytes[i] == '\n' || part->line_length == sizeof part->line - 1)
			tell_line(s, part);
	}
	if (length <= 0)
		gone(s, part);
}

/* ---- All of them ---- */

static void read_signal(struct supervision *s)
{
	struct signalfd_siginfo what;
	if (read(s->signals, &what, sizeof what) != sizeof what)
		return;
	bool is_reload = what.ssi_signo == SIGHUP, is_second = !is_reload && s->is_ending;
	for (size_t i = 0; i < s->options->count; i++) {
		const struct hf_part *part = &s->options->parts[i];
		if (part->process > 0 && (is_second || (is_reload && part->takes_reload)))
			kill(part->process, is_second ? SIGKILL : SIGHUP);
	}
	if (!is_reload)
		end(s, HF_CLI_OK);
}

/* Starts what is due, in order: one that is not ready holds up those after it. */
static void start_due(struct supervision *s)
{
	const struct hf_supervise_options *o = s->options;
	size_t i = 0;
	for (; i < o->count && !s->is_ending; i++) {
		struct hf_part *part = &o->parts[i];
		if (part->process == 0 && now_ms(s) >= part->start_at_ms)
			start(s, part);
		if (!part->is_ready && !s->was_ready)
			break;
	}
	if (i == o->count && !s->was_ready && !s->is_ending) {
		s->was_ready = true;
		int code = o->ready(o->context);
		if (code != 0)
			end(s, code);
	}
}

/* Ends the last that still runs. False: none does. */
static bool end_last(struct supervision *s)
{
	for (size_t i = s->options->count; i-- > 0;) {
		const struct hf_part *part = &s->options->parts[i];
		if (part->process == 0)
			continue;
		if (s->kill_at_ms == 0) {
			kill(part->process, SIGTERM);
			s->kill_at_ms = now_ms(s) + HF_SUPERVISE_END_MS;
		} else if (now_ms(s) >= s->kill_at_ms) {
			fprintf(stderr, "%s | does not end; it is killed\n", part->name);
			kill(part->process, SIGKILL);
		}
		return true;
	}
	return false;
}

static int wait_ms(const struct supervision *s)
{
	uint64_t now = now_ms(s), at = s->kill_at_ms ? s->kill_at_ms : UINT64_MAX;
	for (size_t i = 0; i < s->options->count && !s->is_ending; i++) {
		const struct hf_part *part = &s->options->parts[i];
		if (part->process == 0 && part->start_at_ms > 0 && part->start_at_ms < at)
			at = part->start_at_ms;
	}
	return at == UINT64_MAX ? -1 : at <= now ? 0 : (int)(at - now);
}

static void turn(struct supervision *s)
{
	struct pollfd waits[1 + HF_SUPERVISE_PART_COUNT_MAX] = {{.fd = s->signals, .events = POLLIN}};
	for (size_t i = 0; i < s->options->count; i++) {
		const struct hf_part *part = &s->options->parts[i];
		waits[i + 1] = (struct pollfd){.fd = part->process > 0 ? part->output : -1, .events = POLLIN};
	}
	if (poll(waits, 1 + s->options->count, wait_ms(s)) <= 0)
		return;
	if (waits[0].revents)
		read_signal(s);
	for (size_t i = 0; i < s->options->count; i++)
		if (waits[i + 1].revents)
			read_output(s, &s->options->parts[i]);
}

int hf_supervise(const struct hf_supervise_options *options)
{
	struct supervision s = {.options = options};
	sigset_t ours, before;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	sigprocmask(SIG_BLOCK, &ours, &before);
	s.signals = signalfd(-1, &ours, SFD_CLOEXEC);
	if (s.signals < 0) {
		hf_terminal_fail("Signals cannot be waited for.");
		return HF_CLI_FAILED;
	}
	for (;;) {
		if (!s.is_ending)
			start_due(&s);
		if (s.is_ending && !end_last(&s))
			break;
		turn(&s);
	}
	close(s.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return s.code;
}
