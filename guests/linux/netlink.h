/*
 * Part of linux.c: netlink.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* A question about sockets, as ss asks it, and the kind of the answer. */
static void netlink_sockets(void)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } asked = {
        .header = { .nlmsg_len = sizeof(asked), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 3 },
        .request = { .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1 << 10 },
    };
    static char answer[65536] __attribute__((aligned(8)));
    struct nlmsghdr *header = (void *)answer;
    struct sockaddr_in address = { .sin_family = AF_INET };
    int server = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (fd < 0) {
        printf("%s", strerrorname_np(errno));
        return;
    }
    if (bind(server, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(server, 1) < 0) {
        fail("listen");
    }
    printf("asked %d,", send(fd, &asked, sizeof(asked), 0) == sizeof(asked));
    printf(" answered %d,", recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(*header));
    printf(" type %d, number %d", header->nlmsg_type, header->nlmsg_seq);
    close(fd);
    close(server);
}

/* The number of a family, as many tools ask for it first. */
static void netlink_generic(void)
{
    struct {
        struct nlmsghdr header;
        struct genlmsghdr generic;
        struct nlattr attribute;
        char name[8];
    } asked = {
        .header = { .nlmsg_len = sizeof(asked), .nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST },
        .generic = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
        .attribute = { .nla_len = sizeof(struct nlattr) + 7, .nla_type = CTRL_ATTR_FAMILY_NAME },
        .name = "nlctrl",
    };
    static char answer[8192] __attribute__((aligned(8)));
    struct nlmsghdr *header = (void *)answer;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);

    if (fd < 0) {
        printf("%s", strerrorname_np(errno));
        return;
    }
    printf("asked %d,", send(fd, &asked, sizeof(asked), 0) == sizeof(asked));
    printf(" answered %d,", recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(*header));
    printf(" type %d", header->nlmsg_type);
    close(fd);
}
