// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes one mistake when it is loaded, the one that "made" names: for kernels that
 * look for mistakes, to be seen finding it.
 */

#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>

static char *made = "none";
module_param(made, charp, 0444);
MODULE_PARM_DESC(made, "which mistake");

static DEFINE_SPINLOCK(first);
static DEFINE_SPINLOCK(second);
static DEFINE_RAW_SPINLOCK(raw);
static int guarded = 1;
static int __rcu *published = (int __force __rcu *)&guarded;
static struct timer_list timer;
static int shared;

static void free_too_early(void)
{
	char *volatile bytes = kzalloc(64, GFP_KERNEL);

	kfree(bytes);
	pr_info("read %d\n", READ_ONCE(bytes[8]));
}

/* Some, since what is left on a stack may still look like a pointer */
static void lose(void)
{
	for (int i = 0; i < 16; i++) {
		void *bytes = kmalloc(64, GFP_KERNEL);

		OPTIMIZER_HIDE_VAR(bytes);
	}
}

static void tick(struct timer_list *t)
{
	shared++;
	mod_timer(t, jiffies + 1);
}

static void free_timer(void)
{
	struct timer_list *t = kzalloc(sizeof(*t), GFP_KERNEL);

	timer_setup(t, tick, 0);
	t->expires = jiffies + 1000 * HZ;
	add_timer(t);
	kfree(t);
}

static void shift_too_far(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	shared = 1 << by;
}

static void lock_in_other_order(void)
{
	spin_lock(&first);
	spin_lock(&second);
	spin_unlock(&second);
	spin_unlock(&first);
	spin_lock(&second);
	spin_lock(&first);
	spin_unlock(&first);
	spin_unlock(&second);
}

static void sleep_under_lock(void)
{
	raw_spin_lock(&raw);
	msleep(20);
	raw_spin_unlock(&raw);
}

static void read_without_rcu(void)
{
	pr_info("read %d\n", *rcu_dereference(published));
}

static noinline void count(unsigned long end)
{
	while (time_before(jiffies, end)) {
		shared++;
		barrier();	/* in memory, each time */
		cond_resched();
	}
}

/* An interrupt and what it interrupts */
static void race_with_interrupt(void)
{
	timer_setup(&timer, tick, 0);
	mod_timer(&timer, jiffies + 1);
	count(jiffies + 5 * HZ);
	timer_delete_sync(&timer);
}

static int rival(void *end)
{
	count((unsigned long)end);
	return 0;
}

static void race_with_cpu(void)
{
	unsigned long end = jiffies + 5 * HZ;
	struct task_struct *other = kthread_create(rival, (void *)end, "rival");

	if (IS_ERR(other))
		return;
	kthread_bind(other, cpumask_last(cpu_online_mask));
	wake_up_process(other);
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	count(end);
	msleep(1000);
}

static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	{ "free_too_early", free_too_early },
	{ "lose", lose },
	{ "free_timer", free_timer },
	{ "shift_too_far", shift_too_far },
	{ "lock_in_other_order", lock_in_other_order },
	{ "sleep_under_lock", sleep_under_lock },
	{ "read_without_rcu", read_without_rcu },
	{ "race_with_interrupt", race_with_interrupt },
	{ "race_with_cpu", race_with_cpu },
};

static int __init mistake_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		if (!strcmp(made, mistakes[i].name)) {
			mistakes[i].make();
			return 0;
		}
	}
	return strcmp(made, "none") ? -EINVAL : 0;
}

static void __exit mistake_exit(void)
{
}

module_init(mistake_init);
module_exit(mistake_exit);
MODULE_DESCRIPTION("One mistake, for kernels that look for it");
MODULE_LICENSE("GPL");
