/* A link between two network namespaces: two TUN devices, and between them a model with a rate, a queue, a delay, jitter, loss and an MTU,
 * drawn from a seed. This kernel need not have netem.
 *
 * Usage: link_emulate NAMESPACE_A NAMESPACE_B DEVICE [--rate BYTES_PER_S] [--queue BYTES] [--delay US] [--jitter US] [--loss FRACTION]
 *        [--mtu BYTES] [--seed N]
 * delay is of one way; the model is the same both ways. A packet above the MTU vanishes, as on a path that tells nobody. Prints "ready"
 * once the devices are there and up to the caller to configure; at SIGTERM what was passed on and dropped, as JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_BYTES_MAX 2048
#define WAITING_COUNT_MAX 65536 /* a power of two; packets on their way in one direction */

struct packet {
	uint64_t due_ns;
	uint16_t length;
	uint8_t bytes[PACKET_BYTES_MAX];
};

struct direction {
	int from, to;           /* devices */
	uint64_t free_ns;       /* when the line has sent all that is queued */
	struct packet *waiting; /* a ring, by due time */
	uint32_t first, count;
	uint64_t passed_packets, passed_bytes, lost, overflowed, too_big;
};

static struct {
	double rate, loss; /* bytes per ns; 0: no bound */
	uint64_t queue_bytes, delay_ns, jitter_ns, mtu, random;
} model = {.queue_bytes = 1 << 20, .mtu = 1500, .random = 1};

static volatile sig_atomic_t is_stopping;

static void on_signal(int number)
{
	is_stopping = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double draw(void)
{
	model.random ^= model.random << 13;
	model.random ^= model.random >> 7;
	model.random ^= model.random << 17;
	return (double)(model.random >> 11) / 9007199254740992.0;
}

__attribute__((noreturn)) static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void enter(const char *name)
{
	char path[256];
	snprintf(path, sizeof path, "/var/run/netns/%s", name);
	int space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET) < 0)
		die(path);
	close(space);
}

static int open_device(const char *space, const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	enter(space);
	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0)
		die("/dev/net/tun");
	return device;
}

/* When the packet comes out at the other end; 0: never. */
static uint64_t pass(struct direction *d, uint64_t now, uint64_t length)
{
	if (length > model.mtu) {
		d->too_big++;
		return 0;
	}
	if (draw() < model.loss) {
		d->lost++;
		return 0;
	}
	if (d->free_ns < now)
		d->free_ns = now;
	double queued = (double)(d->free_ns - now) * model.rate;
	if (d->count == WAITING_COUNT_MAX || queued + (double)length > (double)model.queue_bytes) {
		d->overflowed++;
		return 0;
	}
	if (model.rate > 0)
		d->free_ns += (uint64_t)((double)length / model.rate);
	return d->free_ns + model.delay_ns + (uint64_t)(draw() * (double)model.jitter_ns);
}

/* Jitter lets packets overtake each other. */
static void insert(struct direction *d, const uint8_t *bytes, uint16_t length, uint64_t due_ns)
{
	uint32_t at = d->count++;
	while (at > 0 && d->waiting[(d->first + at - 1) % WAITING_COUNT_MAX].due_ns > due_ns) {
		d->waiting[(d->first + at) % WAITING_COUNT_MAX] = d->waiting[(d->first + at - 1) % WAITING_COUNT_MAX];
		at--;
	}
	struct packet *packet = &d->waiting[(d->first + at) % WAITING_COUNT_MAX];
	packet->due_ns = due_ns;
	packet->length = length;
	memcpy(packet->bytes, bytes, length);
}

static void take(struct direction *d)
{
	uint8_t bytes[PACKET_BYTES_MAX];
	ssize_t length;
	while ((length = read(d->from, bytes, sizeof bytes)) > 0) {
		uint64_t due_ns = pass(d, now_ns(), (uint64_t)length);
		if (due_ns)
			insert(d, bytes, (uint16_t)length, due_ns);
	}
}

/* Gives what is due; returns when the next is. */
static uint64_t give(struct direction *d, uint64_t now)
{
	for (; d->count > 0; d->first = (d->first + 1) % WAITING_COUNT_MAX, d->count--) {
		const struct packet *packet = &d->waiting[d->first];
		if (packet->due_ns > now)
			return packet->due_ns;
		if (write(d->to, packet->bytes, packet->length) == packet->length) {
			d->passed_packets++;
			d->passed_bytes += packet->length;
		} else {
			d->overflowed++;
		}
	}
	return UINT64_MAX;
}

static void run(struct direction directions[2])
{
	struct pollfd ready[2] = {{.fd = directions[0].from, .events = POLLIN}, {.fd = directions[1].from, .events = POLLIN}};
	while (!is_stopping) {
		uint64_t now = now_ns(), next = UINT64_MAX;
		for (int i = 0; i < 2; i++) {
			uint64_t due_ns = give(&directions[i], now);
			next = due_ns < next ? due_ns : next;
		}
		uint64_t wait_ns = next == UINT64_MAX ? 100000000 : next > now ? next - now : 0;
		struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
		if (ppoll(ready, 2, &wait, NULL) < 0 && errno != EINTR)
			die("ppoll");
		for (int i = 0; i < 2; i++)
			if (ready[i].revents & POLLIN)
				take(&directions[i]);
	}
}

static void read_options(int count, char **arguments)
{
	for (int i = 0; i + 1 < count; i += 2) {
		const char *name = arguments[i], *value = arguments[i + 1];
		if (strcmp(name, "--rate") == 0)
			model.rate = atof(value) / 1e9;
		else if (strcmp(name, "--queue") == 0)
			model.queue_bytes = strtoull(value, NULL, 10);
		else if (strcmp(name, "--delay") == 0)
			model.delay_ns = strtoull(value, NULL, 10) * 1000;
		else if (strcmp(name, "--jitter") == 0)
			model.jitter_ns = strtoull(value, NULL, 10) * 1000;
		else if (strcmp(name, "--loss") == 0)
			model.loss = atof(value);
		else if (strcmp(name, "--mtu") == 0)
			model.mtu = strtoull(value, NULL, 10);
		else if (strcmp(name, "--seed") == 0)
			model.random = strtoull(value, NULL, 10) * 0x9e3779b97f4a7c15u + 1;
		else
			fprintf(stderr, "%s is not known\n", name), exit(2);
	}
}

int main(int count, char **arguments)
{
	if (count < 4) {
		fprintf(stderr, "usage: link_emulate NAMESPACE_A NAMESPACE_B DEVICE [options]; see the head of its source\n");
		return 2;
	}
	read_options(count - 4, arguments + 4);
	int a = open_device(arguments[1], arguments[3]), b = open_device(arguments[2], arguments[3]);
	struct direction directions[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
	for (int i = 0; i < 2; i++)
		if (!(directions[i].waiting = calloc(WAITING_COUNT_MAX, sizeof(struct packet))))
			die("memory");
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	prctl(PR_SET_TIMERSLACK, 1000ul);
	printf("ready\n");
	fflush(stdout);
	run(directions);
	for (int i = 0; i < 2; i++)
		printf("{\"direction\":\"%s\",\"packets\":%llu,\"bytes\":%llu,\"lost\":%llu,\"overflowed\":%llu,\"too_big\":%llu}\n", i ? "back" : "forth",
			(unsigned long long)directions[i].passed_packets, (unsigned long long)directions[i].passed_bytes,
			(unsigned long long)directions[i].lost, (unsigned long long)directions[i].overflowed, (unsigned long long)directions[i].too_big);
	return 0;
}
