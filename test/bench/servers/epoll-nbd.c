/*
 * An NBD server with nothing behind it: reads are zeros, writes are forgotten. One thread, one
 * epoll loop; for each wake-up of a client one recv takes all that has come and one sendmsg answers
 * all of it. Fixed newstyle handshake, simple replies.
 *
 *   epoll-nbd SOCKET BYTES
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define NBD_MAGIC 0x4e42444d41474943u
#define OPTION_MAGIC 0x49484156454f5054u
#define OPTION_REPLY_MAGIC 0x3e889045565a9u
#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u
#define REP_ERR_UNSUP 0x80000001u
enum { FIXED_NEWSTYLE = 1, NO_ZEROES = 2 };
enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_INFO = 6, OPT_GO = 7 };
enum { REP_ACK = 1, REP_INFO = 3, INFO_EXPORT = 0 };
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2, CMD_FLUSH = 3, CMD_TRIM = 4 };
/* HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, CAN_MULTI_CONN */
enum { TRANSMISSION_FLAGS = 1 | 4 | 8 | 32 | 256 };

/* What goes over the wire, in network order. */
#define WIRE __attribute__((packed, may_alias))
typedef struct WIRE {
  uint64_t magic, option_magic;
  uint16_t flags;
} Greeting;
typedef struct WIRE {
  uint64_t magic;
  uint32_t option, length;
} Option;
typedef struct WIRE {
  uint64_t magic;
  uint32_t option, type, length;
} OptionReply;
typedef struct WIRE {
  uint64_t bytes;
  uint16_t flags;
} Export;
typedef struct WIRE {
  uint16_t type;
  Export export;
} ExportInfo;
typedef struct WIRE {
  uint32_t magic;
  uint16_t flags, type;
  uint64_t cookie, offset;
  uint32_t length;
} Request;
typedef struct WIRE {
  uint32_t magic, error;
  uint64_t cookie;
} Reply;

static const uint8_t padding[124];

enum {
  MAXIMUM_OPTION = 8 << 10,
  MAXIMUM_PAYLOAD = 32 << 20,
  /* Fits into a core's second-level cache. */
  IN_CAPACITY = 256 << 10,
  /* With the usual 208 KiB a large read goes in pieces, and the process sleeps between them. */
  SEND_BUFFER = 4 << 20,
  OUT_CAPACITY = IOV_MAX / 2 * sizeof(Reply),
  /* The longest answer to one message is that to EXPORT_NAME. */
  LONGEST_ANSWER = sizeof(Export) + sizeof padding,
};

typedef enum { CLIENT_FLAGS, OPTIONS, REQUESTS, OVER } Phase;

typedef struct {
  int fd;
  Phase phase;
  uint32_t watched_events;
  uint32_t client_flags;
  /* Of the write that is being received, and the answer to it. */
  size_t payload_left;
  Reply payload_reply;
  size_t in_start, in_end;
  size_t out_bytes;
  /* What is to be sent: pieces of `out` and of `zeros`. */
  size_t iov_start, iov_end;
  struct iovec iov[IOV_MAX];
  uint8_t out[OUT_CAPACITY];
  uint8_t in[IN_CAPACITY];
} Client;

static uint64_t export_bytes;
static uint8_t zeros[MAXIMUM_PAYLOAD];

static void die(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static bool has_room(const Client *client) {
  return client->out_bytes + LONGEST_ANSWER <= OUT_CAPACITY && client->iov_end + 2 <= IOV_MAX;
}

/* Answers without payload lie side by side and go as one piece. */
static void append(Client *client, const void *answer, size_t length) {
  uint8_t *at = memcpy(client->out + client->out_bytes, answer, length);
  client->out_bytes += length;
  if (client->iov_end > 0) {
    struct iovec *last = &client->iov[client->iov_end - 1];
    if ((uint8_t *)last->iov_base + last->iov_len == at) {
      last->iov_len += length;
      return;
    }
  }
  client->iov[client->iov_end++] = (struct iovec){at, length};
}

static void answer_option(Client *client, uint32_t option, uint32_t type, uint32_t length) {
  OptionReply reply = {htobe64(OPTION_REPLY_MAGIC), htobe32(option), htobe32(type),
                       htobe32(length)};
  append(client, &reply, sizeof reply);
}

static void take_option(Client *client, uint32_t option) {
  ExportInfo info = {htobe16(INFO_EXPORT), {htobe64(export_bytes), htobe16(TRANSMISSION_FLAGS)}};
  switch (option) {
    case OPT_EXPORT_NAME:
      append(client, &info.export, sizeof info.export);
      if ((client->client_flags & NO_ZEROES) == 0) append(client, padding, sizeof padding);
      client->phase = REQUESTS;
      break;
    case OPT_INFO:
    case OPT_GO:
      answer_option(client, option, REP_INFO, sizeof info);
      append(client, &info, sizeof info);
      answer_option(client, option, REP_ACK, 0);
      if (option == OPT_GO) client->phase = REQUESTS;
      break;
    case OPT_ABORT:
      answer_option(client, option, REP_ACK, 0);
      client->phase = OVER;
      break;
    default:
      answer_option(client, option, REP_ERR_UNSUP, 0);
  }
}

static void take_request(Client *client, const Request *request) {
  uint64_t offset = be64toh(request->offset);
  uint32_t length = be32toh(request->length);
  uint16_t type = be16toh(request->type);
  bool is_known = type <= CMD_TRIM;
  bool fits = offset <= export_bytes && length <= export_bytes - offset;
  bool is_ok = is_known && fits && length <= MAXIMUM_PAYLOAD;
  Reply reply = {htobe32(REPLY_MAGIC), htobe32(is_ok ? 0 : EINVAL), request->cookie};
  if (type == CMD_DISC || be32toh(request->magic) != REQUEST_MAGIC) {
    client->phase = OVER;
  } else if (type == CMD_WRITE && length > 0) {
    client->payload_left = length;
    client->payload_reply = reply;
  } else {
    append(client, &reply, sizeof reply);
    if (type == CMD_READ && is_ok && length > 0)
      client->iov[client->iov_end++] = (struct iovec){zeros, length};
  }
}

/* Takes one message, or what there is of a payload; false when there is nothing to take until more
 * has come. */
static bool take_message(Client *client) {
  const uint8_t *at = client->in + client->in_start;
  size_t available = client->in_end - client->in_start;
  if (client->payload_left > 0) {
    size_t taken = available < client->payload_left ? available : client->payload_left;
    client->in_start += taken;
    client->payload_left -= taken;
    if (client->payload_left > 0) return false;
    append(client, &client->payload_reply, sizeof client->payload_reply);
    return true;
  }
  switch (client->phase) {
    case CLIENT_FLAGS:
      if (available < sizeof client->client_flags) return false;
      memcpy(&client->client_flags, at, sizeof client->client_flags);
      client->client_flags = be32toh(client->client_flags);
      client->in_start += sizeof client->client_flags;
      client->phase = OPTIONS;
      return true;
    case OPTIONS: {
      const Option *option = (const Option *)at;
      if (available < sizeof *option) return false;
      size_t length = be32toh(option->length);
      if (be64toh(option->magic) != OPTION_MAGIC || length > MAXIMUM_OPTION) {
        client->phase = OVER;
        return false;
      }
      if (available < sizeof *option + length) return false;
      client->in_start += sizeof *option + length;
      take_option(client, be32toh(option->option));
      return true;
    }
    case REQUESTS:
      if (available < sizeof(Request)) return false;
      client->in_start += sizeof(Request);
      take_request(client, (const Request *)at);
      return true;
    case OVER:
      break;
  }
  return false;
}

/* False at the end of the connection. */
static bool receive(Client *client) {
  size_t rest = client->in_end - client->in_start;
  memmove(client->in, client->in + client->in_start, rest);
  client->in_start = 0;
  client->in_end = rest;
  ssize_t received = recv(client->fd, client->in + rest, IN_CAPACITY - rest, 0);
  if (received > 0) client->in_end += received;
  return received > 0 || (received < 0 && errno == EAGAIN);
}

typedef enum { SENT, BLOCKED, BROKEN } Sending;

static Sending send_answers(Client *client) {
  if (client->iov_end == 0) return SENT;
  struct msghdr message = {.msg_iov = client->iov + client->iov_start,
                           .msg_iovlen = client->iov_end - client->iov_start};
  ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? BLOCKED : BROKEN;
  for (size_t left = sent; client->iov_start < client->iov_end; client->iov_start++) {
    struct iovec *piece = &client->iov[client->iov_start];
    if (left < piece->iov_len) {
      piece->iov_base = (uint8_t *)piece->iov_base + left;
      piece->iov_len -= left;
      return BLOCKED;
    }
    left -= piece->iov_len;
  }
  client->iov_start = client->iov_end = client->out_bytes = 0;
  return SENT;
}

static void watch(int epoll, Client *client, uint32_t events) {
  if (client->watched_events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = client};
  int operation = client->watched_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epoll, operation, client->fd, &event) < 0) die("epoll_ctl");
  client->watched_events = events;
}

/* A client that does not take its answers is not read from. False when it has gone. */
static bool serve(int epoll, Client *client) {
  if (client->iov_end == 0 && !receive(client)) return false;
  do {
    while (has_room(client) && take_message(client)) continue;
    Sending sending = send_answers(client);
    if (sending != SENT) {
      watch(epoll, client, EPOLLOUT);
      return sending == BLOCKED;
    }
  } while (take_message(client));
  watch(epoll, client, EPOLLIN);
  return client->phase != OVER;
}

static void greet(int epoll, int fd) {
  Client *client = malloc(sizeof *client);
  if (client == NULL) die("malloc");
  memset(client, 0, offsetof(Client, iov));
  client->fd = fd;
  int bytes = SEND_BUFFER;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  Greeting greeting = {htobe64(NBD_MAGIC), htobe64(OPTION_MAGIC),
                       htobe16(FIXED_NEWSTYLE | NO_ZEROES)};
  append(client, &greeting, sizeof greeting);
  watch(epoll, client, EPOLLOUT);
}

static int listen_on(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    die(path);
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die(path);
  if (listen(fd, SOMAXCONN) < 0) die("listen");
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: epoll-nbd SOCKET BYTES\n");
    return EXIT_FAILURE;
  }
  export_bytes = strtoull(argv[2], NULL, 10);
  /* Untouched it would be one page of the kernel's, hotter in the cache than data ever is. */
  memset(zeros, 0, sizeof zeros);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  int listener = listen_on(argv[1]);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int index = 0; index < count; index++) {
      Client *client = events[index].data.ptr;
      if (client == NULL) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) greet(epoll, fd);
      } else if (!serve(epoll, client)) {
        close(client->fd);
        free(client);
      }
    }
  }
}
