// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults and delays that a test sets, for all layouts: parameters that can be
 * written at any time in /sys/module/mdev_lab/parameters.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/wait.h>

#include "lab.h"

static int fail_create_nth;
module_param(fail_create_nth, int, 0644);
MODULE_PARM_DESC(fail_create_nth, "the n-th create of a mediated device from now on fails; counts down, 0 is none");

static int fail_create_errno = EIO;
module_param(fail_create_errno, int, 0644);
MODULE_PARM_DESC(fail_create_errno, "the errno of fail_create_nth");

static int fail_after_create_errno;
module_param(fail_after_create_errno, int, 0644);
MODULE_PARM_DESC(fail_after_create_errno, "every create makes its device and fails with this errno; 0 is none");

static bool short_create;
module_param(short_create, bool, 0644);
MODULE_PARM_DESC(short_create, "every create on the mdev bus makes its device and returns one byte less than was written");

static unsigned int create_delay_ms;
module_param(create_delay_ms, uint, 0644);
MODULE_PARM_DESC(create_delay_ms, "a create blocks for this time before it does anything");

static unsigned int remove_delay_ms;
module_param(remove_delay_ms, uint, 0644);
MODULE_PARM_DESC(remove_delay_ms, "a write that removes a device blocks for this time before it does anything");

static bool drop_last_byte;
module_param(drop_last_byte, bool, 0644);
MODULE_PARM_DESC(drop_last_byte, "the rfc layout drops the last byte of create, params and mdev_destroy, as NVIDIA's driver does for parameters");

static bool group_required;
module_param(group_required, bool, 0644);
MODULE_PARM_DESC(group_required, "a create without a group is EINVAL for a type whose requires_group is 1");

static DECLARE_WAIT_QUEUE_HEAD(unbind_wait);
static unsigned int unbind_hold_ms;

static int unbind_hold_set(const char *value, const struct kernel_param *param)
{
	int ret = param_set_uint(value, param);

	wake_up_all(&unbind_wait);
	return ret;
}

static const struct kernel_param_ops unbind_hold_ops = { .set = unbind_hold_set, .get = param_get_uint };
module_param_cb(unbind_hold_ms, &unbind_hold_ops, &unbind_hold_ms, 0644);
MODULE_PARM_DESC(unbind_hold_ms, "an unbind keeps the lock of the device and its files for this time; writing 0 ends it");

/* Under lab_lock. */
int lab_injected_failure(void)
{
	if (fail_create_nth <= 0 || --fail_create_nth > 0)
		return 0;
	return -fail_create_errno;
}

int lab_failure_after_create(void)
{
	return -READ_ONCE(fail_after_create_errno);
}

/* The result of a successful create of @count bytes. */
size_t lab_bytes_taken(size_t count)
{
	return READ_ONCE(short_create) ? count - 1 : count;
}

/* The number of bytes that the driver uses of a write to a file of the rfc layout. */
size_t lab_bytes_seen(size_t count)
{
	return count && READ_ONCE(drop_last_byte) ? count - 1 : count;
}

bool lab_group_required(void)
{
	return READ_ONCE(group_required);
}

/* No signal ends the wait, as in most drivers that wait for their hardware. */
void lab_delay_create(void)
{
	msleep(READ_ONCE(create_delay_ms));
}

void lab_delay_remove(void)
{
	msleep(READ_ONCE(remove_delay_ms));
}

/* The driver core holds device_lock() of the device that is being unbound. */
void lab_hold_unbind(void)
{
	wait_event_timeout(unbind_wait, !READ_ONCE(unbind_hold_ms), msecs_to_jiffies(READ_ONCE(unbind_hold_ms)));
}
