/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The forms that a caller uses: the tag and the typedef, flags, enums and the macro of the driver table. */
#include <libmdev.h>

struct mdev_conn;
int header_use(const struct mdev_driver *drv);

int header_use(const struct mdev_driver *drv)
{
	unsigned int flags = MDEV_LIST_PARENTS | MDEV_LIST_DEVICES | MDEV_LIST_ACTIVE | MDEV_LIST_INACTIVE;
	unsigned int create = MDEV_CREATE_EXIST_OK | MDEV_CREATE_PACK;
	struct mdev_device *dev = NULL;
	struct mdev_conn *conn = NULL;
	enum mdev_error_code code = MDEV_ERROR_NO_NODE;

	if (!MDEV_DRIVER_HAS(drv, create_xml))
		return (int)code;
	if (mdev_conn_open(&conn, NULL, 0) < 0)
		return mdev_error_get_code(mdev_last_error());
	if (mdev_conn_list(conn, NULL, flags) < 0)
		mdev_conn_create_xml(conn, "", &dev, create);
	mdev_device_destroy(dev, MDEV_DESTROY_OWNED);
	conn = mdev_conn_unref(conn);
	return conn == NULL;
}
