/*
 * Part of linux.c: sockets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static void option(const char *name, int fd, int level, int which, int value)
{
    int seen = -1;
    socklen_t size = sizeof(seen);

    printf(" %s %s,", name, error(setsockopt(fd, level, which, &value, sizeof(value))));
    printf(" %s", error(getsockopt(fd, level, which, &seen, &size)));
    printf(" %d,", seen);
}

static void socket_options(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);

    option("reuse", fd, SOL_SOCKET, SO_REUSEADDR, 1);
    option("mark", fd, SOL_SOCKET, SO_MARK, 7);
    option("overflow", fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    option("peek", other, SOL_SOCKET, SO_PEEK_OFF, 3);
    option("errors", fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1);
    option("zerocopy", fd, SOL_SOCKET, SO_ZEROCOPY, 1);
    option("no port", fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    option("transparent", fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    option("ttl", fd, IPPROTO_IP, IP_MINTTL, 5);
    option("unknown", fd, SOL_SOCKET, 0x7777, 1);
    close(fd);
    close(other);
}

/* Options that are text, or larger than an int. */
static void socket_values(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), pair[2];
    char name[16] = "", small[2];
    struct tcp_info info = { .tcpi_state = 99 };
    uint64_t cookie[2] = { 0, 0 };
    gid_t groups[65536];
    socklen_t size = sizeof(name);

    printf("set %s,", error(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4)));
    printf(" %s", error(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size)));
    printf(" %s %d,", name, (int)size);
    size = sizeof(small);
    printf(" small %s", error(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, small, &size)));
    printf(" %d,", (int)size);
    printf(" unknown %s,", error(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "no-such", 7)));
    size = sizeof(info);
    printf(" info %s", error(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)));
    printf(" %d %d,", info.tcpi_state, size == sizeof(info));
    for (int i = 0; i < 2; i++) {
        size = sizeof(cookie[i]);
        printf(" cookie %s,", error(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie[i], &size)));
    }
    printf(" same %d, none %d,", cookie[0] == cookie[1], cookie[0] == 0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        fail("socketpair");
    }
    size = sizeof(groups);
    printf(" groups %s,", error(getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &size)));
    printf(" as own %d", (int)(size / sizeof(gid_t)) == getgroups(0, NULL));
    close(fd);
    close(pair[0]);
    close(pair[1]);
}
