/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In C++ the functions have C linkage: this program also links, and runs as a test. */
#include <libmdev.h>
#include <libmdev.h>

static bool named(const mdev_error *err)
{
	return err && mdev_error_get_code(err) == MDEV_ERROR_INVALID_ARGUMENT;
}

int main()
{
	struct mdev_conn *conn = nullptr;

	if (mdev_conn_open(nullptr, "test:///default", 0) >= 0 || !named(mdev_last_error()))
		return 1;
	if (mdev_conn_open(&conn, "test:///default", 0) < 0)
		return 2;
	const struct mdev_driver *drv = mdev_driver_get(MDEV_DRIVER_ABI, sizeof(struct mdev_driver));
	if (!drv || !MDEV_DRIVER_HAS(drv, create_xml))
		return 3;
	return mdev_conn_unref(conn) == nullptr ? 0 : 4;
}
