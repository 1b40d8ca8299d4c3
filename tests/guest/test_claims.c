// SPDX-License-Identifier: GPL-2.0-only
/* lab: --icount
 *
 * What a watch is told of FINs, its claims: each is a number and the options of
 * a rule.  How many there are at most, which go first, and which one counts
 * once TCP has taken a FIN and the owner is known.
 *
 * A claim that TCP does not hold is made with a checksum that is wrong.
 */

#include <errno.h>
#include <sys/fsuid.h>

#include "dice.h"
#include "fin.h"
#include "rules.h"

#define ENDS	4		/* different ones, at most, behind a hole */
#define EACH	32		/* claims of one end, at most */
#define FLOOD	10000

static void expect_fins(unsigned long fins, unsigned long repeated)
{
	expect_counter("fins", fins);
	expect_counter("repeated", repeated);
}

/* The same number and the same options: nothing new */
static void repeated(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--grace 1m");
	client(&c, h, 0);
	for (int i = 0; i < 10; i++)
		peer_send(&c, "F. 101:101(0) ack 1");
	expect_counter("watching", 1);
	expect_fins(10, 9);
	/* with more in front of it, or without, it is the same FIN */
	peer_send(&c, "FP. 51:101(50) ack 1");
	expect_fins(11, 10);
	peer_send(&c, "FP. 1:101(100) ack 1");
	expect_fins(12, 11);
	app_wait_state(&c, TCP_CLOSE_WAIT, 0);
	app_read(&c, 100);
	peer_send(&c, "F. 101:101(0) ack 1");
	expect_fins(13, 12);
	expect_counter("watching", 1);
}

/* Whatever a peer sends, with any number of rules: what it costs is bounded */
static void flood(struct host *h, long own_objects)
{
	long own = fin_objects("halfrst*"), all = fin_objects("kmalloc-*");
	struct conn c;

	client(&c, h, 0);
	for (int i = 0; i < FLOOD; i++) {
		fin_send(h, &c, &(struct fin){
			.at = 100 + i, .bad_checksum = true,
		});
		if (!(i % 100))
			fuzz_drain(h);
	}
	fuzz_drain(h);
	expect_counter("watching", 1);
	assert_true(fin_objects("halfrst*") <= own + own_objects);
	assert_true(fin_objects("kmalloc-*") - all < FLOOD / 10);
	host_abort(h, c.fd);
	wait_for(counter("watching") == 0, 130000);
	wait_for(fin_objects("halfrst*") <= own, 10000);
}

/* A watch and four numbers */
static void bounded(void **state)
{
	struct host *h = *state;

	rule(h, ON_FIN "--grace 1m");
	flood(h, 1 + ENDS);
}

static void bounded_with_many_rules(void **state)
{
	struct host *h = *state;

	skip_by_helper("a connection has one");
	for (int i = 0; i < EACH + 8; i++)
		rule(h, ON_FIN "--grace %ds", 1000 + i);
	flood(h, 1 + ENDS * EACH);
}

/*
 * A claim of 101 that TCP does not hold, @others that come behind it, and then
 * the real FIN with that number, which meets no rule.
 */
static void evicted(struct host *h, int others, bool seen_again, bool reset)
{
	int64_t start;
	struct conn c;

	fin_rule(h, 1, "--reset-with etimedout");
	fin_rule(h, 2, "--reset-with epipe");
	client(&c, h, 0);
	fin_send(h, &c, &(struct fin){
		.at = 100, .mark = 1, .bad_checksum = true,
	});
	for (int i = 0; i < others; i++) {
		sleep_ms(20);
		if (seen_again && i == others - 1)
			fin_send(h, &c, &(struct fin){
				.at = 100, .mark = 1, .bad_checksum = true,
			});
		sleep_ms(20);
		fin_send(h, &c, &(struct fin){
			.at = 200 + 100 * i, .mark = 2, .bad_checksum = true,
		});
	}
	expect_counter("watching", 1);
	peer_send(&c, "P. 1:100(99) ack 1");
	app_read(&c, 99);
	start = now_us();
	fin_send(h, &c, &(struct fin){ .at = 100 });
	if (reset)
		fin_reset(&c, start, 0, 1000, ETIMEDOUT);
	else
		fin_no_reset(&c, 70000);
	expect_counter("resets", reset);
	expect_counter("expired", !reset);
	rule(h, "-t mangle -F");
}

static void four_ends(void **state)
{
	evicted(*state, ENDS - 1, false, true);
}

static void oldest_goes(void **state)
{
	evicted(*state, ENDS, false, false);
}

static void seen_again_stays(void **state)
{
	evicted(*state, ENDS, true, true);
}

/* What TCP holds behind a hole stays, whatever else comes, and whenever */
static void held_stays(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	fin_rule(h, 1, "--reset-with etimedout");
	fin_rule(h, 2, "--reset-with epipe");
	client(&c, h, 0);
	for (int i = 0; i < 200; i++) {
		if (i == 100) {
			fin_send(h, &c, &(struct fin){ .at = 1001, .mark = 1 });
			sleep_ms(5);
		}
		fin_send(h, &c, &(struct fin){
			.at = 500 + i * 10, .mark = 2, .bad_checksum = true,
		});
	}
	expect_counter("watching", 1);
	fuzz_drain(h);
	peer_send(&c, "P. 1:1001(1000) ack 1");
	app_read(&c, 1000);
	start = now_us();
	fin_reset(&c, start, 0, 1000, ETIMEDOUT);
	expect_counter("resets", 1);
}

/* Data has come where the FIN was said to be: it is not waited for */
static void passed_by(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN);
	client(&c, h, 0);
	fin_send(h, &c, &(struct fin){ .at = 51, .bad_checksum = true });
	expect_counter("watching", 1);
	peer_send(&c, "P. 1:101(100) ack 1");
	app_read(&c, 100);
	wait_for(counter("watching") == 0, 10000);
	expect_counter("expired", 1);
	peer_take_acks(&c, 1000);
	assert_int_equal(app_state(&c), TCP_ESTABLISHED);
}

/* A claim lives for 60 s, whatever else keeps its watch alive, and as long
 * again if it is made again.
 */
static void sixty_seconds(struct host *h, bool made_again)
{
	int64_t start;
	struct conn c;

	fin_rule(h, 1, "--reset-with etimedout");
	fin_rule(h, 2, "--reset-with epipe");
	client(&c, h, 0);
	fin_send(h, &c, &(struct fin){
		.at = 101, .mark = 1, .bad_checksum = true,
	});
	peer_take_acks(&c, 50000);
	fin_send(h, &c, &(struct fin){
		.at = 201, .mark = 2, .bad_checksum = true,
	});
	if (made_again)
		fin_send(h, &c, &(struct fin){
			.at = 101, .mark = 1, .bad_checksum = true,
		});
	peer_take_acks(&c, 25000);
	expect_counter("watching", 1);
	peer_send(&c, "P. 1:101(100) ack 1");
	app_read(&c, 100);
	start = now_us();
	fin_send(h, &c, &(struct fin){ .at = 101 });
	if (made_again)
		fin_reset(&c, start, 0, 20000, ETIMEDOUT);
	else
		fin_no_reset(&c, 70000);
}

static void old_ones_go(void **state)
{
	sixty_seconds(*state, false);
}

static void made_again(void **state)
{
	sixty_seconds(*state, true);
}

/* The only claim is of another number than that of the FIN that TCP took */
static void none_is_left(void **state)
{
	struct host *h = *state;
	struct conn c;

	fin_rule(h, 1, "");
	client(&c, h, 0);
	fin_send(h, &c, &(struct fin){
		.at = 101, .mark = 1, .bad_checksum = true,
	});
	expect_counter("watching", 1);
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_no_reset(&c, 10000);
	expect_counter("expired", 1);
	expect_counter("watching", 0);
}

/* Of those that fit, the first that is no dry run */
static void first_that_acts(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	rule(h, ON_FIN "--dry-run");
	rule(h, ON_FIN "--grace 1s --reset-with etimedout");
	rule(h, ON_FIN "--reset-with epipe");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_reset(&c, start, 1000, 1250, ETIMEDOUT);
	expect_counter("dry_run", 0);
}

/* ... else the first */
static void dry_runs_alone(void **state)
{
	struct host *h = *state;
	struct conn c;

	rule(h, ON_FIN "--dry-run --grace 5s");
	rule(h, ON_FIN "--dry-run");
	client(&c, h, 0);
	peer_send(&c, "F. 1:1(0) ack 1");
	fin_no_reset(&c, 4900);
	expect_counter("dry_run", 0);
	fin_no_reset(&c, 2000);
	expect_counter("dry_run", 1);
}

/* A rule that acts has seen another FIN than the real one: no reason to act */
static void dry_run_of_the_real_one(void **state)
{
	struct host *h = *state;
	struct conn c;

	fin_rule(h, 1, "--dry-run");
	fin_rule(h, 2, "");
	client(&c, h, 0);
	fin_send(h, &c, &(struct fin){
		.at = 101, .mark = 2, .bad_checksum = true,
	});
	fin_send(h, &c, &(struct fin){ .at = 1, .mark = 1 });
	fin_no_reset(&c, 10000);
	expect_counter("dry_run", 1);
}

/* Linux moves on by one for a stray with the last number: that is no reason
 * to forget what has begun.
 */
static void begun(void **state)
{
	struct host *h = *state;
	int64_t start;
	struct conn c;

	rule(h, ON_FIN "--grace 10s");
	client(&c, h, 0);
	start = now_us();
	peer_send(&c, "F. 1:1(0) ack 1");
	peer_expect(&c, ". 1:1(0) ack 2");
	peer_send(&c, "FP. 1:2(1) ack 1");
	peer_expect(&c, ". 1:1(0) ack 3");
	app_read_eof(&c);	/* or a byte is unread, says TCP's own number */
	fin_reset(&c, start, 10000, 12500, ECONNRESET);
}

/* Two rules for two owners, and nobody knows whose it will be when the FIN
 * comes.
 */
static void accepted_by(struct host *h, const char *const options[2], int id,
			bool uid, int error)
{
	int listener = host_listen(h, 8080);
	int64_t start;
	struct conn c;

	rule(h, ON_FIN "%s --reset-with epipe", options[0]);
	rule(h, ON_FIN "%s --reset-with etimedout", options[1]);
	peer_connect(&c, &h->peer, 8080, 0);
	peer_send(&c, "FP. 1:2(1) ack 1");
	peer_take_acks(&c, 50);
	expect_counter("watching", 1);
	uid ? setfsuid(id) : setfsgid(id);
	c.fd = host_accept(h, listener);
	uid ? setfsuid(0) : setfsgid(0);
	app_read(&c, 1);
	start = now_us();
	if (error)
		fin_reset(&c, start, 0, 100, error);
	else
		fin_no_reset(&c, 10000);
	expect_counter("other_owner", !error);
	expect_counter("watching", 0);
	rule(h, "-t mangle -F INPUT");
	host_close(h, listener);
}

static const char *const groups[] = {
	"--gid-owner 10401", "--gid-owner 10402",
};

static const char *const users[] = {
	"--uid-owner 10401", "--uid-owner 10402",
};

static void first_owner(void **state)
{
	accepted_by(*state, groups, 10401, false, EPIPE);
}

static void second_owner(void **state)
{
	accepted_by(*state, groups, 10402, false, ETIMEDOUT);
}

static void second_user(void **state)
{
	accepted_by(*state, users, 10402, true, ETIMEDOUT);
}

static void third_owner(void **state)
{
	accepted_by(*state, groups, 10403, false, 0);
}

/* As many as are remembered, and one more */
static void many_owners(void **state)
{
	struct host *h = *state;
	int listener = host_listen(h, 8080);
	int64_t start;
	struct conn c;

	for (int i = 1; i <= EACH + 1; i++)
		rule(h, ON_FIN "--gid-owner %d --reset-with %s", 10400 + i,
		     i < EACH ? "epipe" : "etimedout");
	for (int i = 0; i < 2; i++) {
		peer_connect(&c, &h->peer, 8080, 0);
		peer_send(&c, "FP. 1:2(1) ack 1");
		peer_take_acks(&c, 50);
		expect_counter("watching", 1);
		setfsgid(10400 + EACH + i);
		c.fd = host_accept(h, listener);
		setfsgid(0);
		app_read(&c, 1);
		start = now_us();
		if (i == 0)
			fin_reset(&c, start, 0, 100, ETIMEDOUT);
		else if (fin_answer(&c, 10000))
			peer_fail(&c, "more than %d owners", EACH);
		expect_counter("watching", 0);
	}
	expect_counter("resets", 1);
	expect_counter("fins", 2 * (EACH + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ALL(repeated),
		ON_ALL(bounded),
		ON_ALL(bounded_with_many_rules),
		ON_ALL(four_ends),
		ON_ALL(oldest_goes),
		ON_ALL(seen_again_stays),
		ON_ALL(held_stays),
		ON_ALL(passed_by),
		ON_ALL(old_ones_go),
		ON_ALL(made_again),
		ON_ALL(none_is_left),
		ON_ALL(first_that_acts),
		ON_ALL(dry_runs_alone),
		ON_ALL(dry_run_of_the_real_one),
		ON_ALL(begun),
		ON_ALL(first_owner),
		ON_ALL(second_owner),
		ON_ALL(second_user),
		ON_ALL(third_owner),
		ON_ALL(many_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
