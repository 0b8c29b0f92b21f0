#include "system/nbd_netlink.h"

#include <linux/nbd-netlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include <cerrno>
#include <memory>

namespace iserd {

namespace {

struct SocketDeleter {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct MessageDeleter {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, MessageDeleter>;

constexpr Error OutOfMemory() { return Error{.number = ENOMEM, .syscall = "nlmsg_alloc"}; }

// libnl's own error numbers, for failures before the kernel has answered.
Error LibraryError(int code, const char* syscall) {
  int number = EIO;
  if (code == -NLE_NOMEM) number = ENOMEM;
  if (code == -NLE_PERM) number = EPERM;
  if (code == -NLE_NOACCESS) number = EACCES;
  if (code == -NLE_OBJ_NOTFOUND) number = ENOENT;
  return Error{.number = number, .syscall = syscall, .detail = nl_geterror(code)};
}

// One netlink socket for one command. Lives on the stack of the command's thread.
class Command {
 public:
  [[nodiscard]] Result<void> Open() {
    socket_.reset(nl_socket_alloc());
    if (!socket_) return OutOfMemory();
    if (const int code = genl_connect(socket_.get()); code < 0)
      return LibraryError(code, "genl_connect");
    // A reply about many devices is longer than libnl's default buffer.
    nl_socket_enable_msg_peek(socket_.get());
    family_ = genl_ctrl_resolve(socket_.get(), NBD_GENL_FAMILY_NAME);
    if (family_ < 0) return LibraryError(family_, "genl_ctrl_resolve(nbd)");
    return {};
  }

  [[nodiscard]] Result<Message> NewMessage(uint8_t command) const {
    Message message(nlmsg_alloc());
    if (!message || genlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, family_, 0, 0, command,
                                NBD_GENL_VERSION) == nullptr) {
      return OutOfMemory();
    }
    return message;
  }

  // Sends the message and waits for the kernel's verdict; `on_reply` sees a data message that comes
  // before it.
  template <class OnReply>
  [[nodiscard]] Result<void> Run(nl_msg* message, OnReply on_reply) {
    if (const int code = nl_send_auto(socket_.get(), message); code < 0)
      return LibraryError(code, "nl_send");
    struct Exchange {
      OnReply on_reply;
      bool done = false;
      int number = 0;
    } exchange{std::move(on_reply)};
    nl_sock* socket = socket_.get();
    nl_socket_modify_cb(
        socket, NL_CB_VALID, NL_CB_CUSTOM,
        [](nl_msg* reply, void* self) -> int {
          static_cast<Exchange*>(self)->on_reply(reply);
          return NL_OK;
        },
        &exchange);
    nl_socket_modify_cb(
        socket, NL_CB_ACK, NL_CB_CUSTOM,
        [](nl_msg*, void* self) -> int {
          static_cast<Exchange*>(self)->done = true;
          return NL_STOP;
        },
        &exchange);
    // libnl would translate the errno into its own, coarser numbers.
    nl_socket_modify_err_cb(
        socket, NL_CB_CUSTOM,
        [](sockaddr_nl*, nlmsgerr* verdict, void* self) -> int {
          static_cast<Exchange*>(self)->number = -verdict->error;
          static_cast<Exchange*>(self)->done = true;
          return NL_STOP;
        },
        &exchange);
    while (!exchange.done) {
      const int code = nl_recvmsgs_default(socket);
      if (code < 0 && !exchange.done && code != -NLE_INTR) return LibraryError(code, "nl_recvmsgs");
    }
    if (exchange.number != 0) return Error{.number = exchange.number, .syscall = "netlink(nbd)"};
    return {};
  }

 private:
  std::unique_ptr<nl_sock, SocketDeleter> socket_;
  int family_ = -1;
};

void IgnoreReply(nl_msg*) {}

// Adds what is present; false when the message is full.
[[nodiscard]] bool Put(nl_msg* message, const NbdAttributes& from) {
  const auto put_u64 = [message](int type, const std::optional<uint64_t>& value) {
    return !value || nla_put_u64(message, type, *value) == 0;
  };
  if (from.index && nla_put_u32(message, NBD_ATTR_INDEX, *from.index) != 0) return false;
  if (!put_u64(NBD_ATTR_SIZE_BYTES, from.size_bytes) ||
      !put_u64(NBD_ATTR_BLOCK_SIZE_BYTES, from.block_size) ||
      !put_u64(NBD_ATTR_SERVER_FLAGS, from.server_flags) ||
      !put_u64(NBD_ATTR_TIMEOUT, from.timeout_seconds) ||
      !put_u64(NBD_ATTR_DEAD_CONN_TIMEOUT, from.dead_conn_timeout_seconds)) {
    return false;
  }
  if (from.backend_identifier &&
      nla_put_string(message, NBD_ATTR_BACKEND_IDENTIFIER, from.backend_identifier->c_str()) != 0) {
    return false;
  }
  if (from.sockets.empty()) return true;
  nlattr* list = nla_nest_start(message, NBD_ATTR_SOCKETS);
  if (list == nullptr) return false;
  for (const uint32_t fd : from.sockets) {
    nlattr* item = nla_nest_start(message, NBD_SOCK_ITEM);
    if (item == nullptr || nla_put_u32(message, NBD_SOCK_FD, fd) != 0) return false;
    nla_nest_end(message, item);
  }
  nla_nest_end(message, list);
  return true;
}

// Opens a socket, sends `command` with `attributes`, waits.
template <class OnReply>
[[nodiscard]] Result<void> Send(uint8_t command, const NbdAttributes& attributes,
                                OnReply on_reply) {
  Command exchange;
  if (const Result<void> opened = exchange.Open(); !opened.ok()) return opened.error();
  Result<Message> message = exchange.NewMessage(command);
  if (!message.ok()) return message.error();
  if (!Put(message.value().get(), attributes)) return OutOfMemory();
  return exchange.Run(message.value().get(), std::move(on_reply));
}

[[nodiscard]] NbdDeviceStatus ParseDevice(nlattr* item) {
  NbdDeviceStatus device;
  nlattr* fields[NBD_DEVICE_ATTR_MAX + 1];
  if (nla_parse_nested(fields, NBD_DEVICE_ATTR_MAX, item, nullptr) != 0) return device;
  if (fields[NBD_DEVICE_INDEX] != nullptr) device.index = nla_get_u32(fields[NBD_DEVICE_INDEX]);
  if (fields[NBD_DEVICE_CONNECTED] != nullptr)
    device.connected = nla_get_u8(fields[NBD_DEVICE_CONNECTED]) != 0;
  return device;
}

}  // namespace

Result<uint32_t> NbdConnect(const NbdAttributes& attributes) {
  std::optional<uint32_t> index = attributes.index;
  const Result<void> sent = Send(NBD_CMD_CONNECT, attributes, [&index](nl_msg* reply) {
    const nlattr* found =
        genlmsg_attrdata(static_cast<genlmsghdr*>(nlmsg_data(nlmsg_hdr(reply))), 0);
    const int length = genlmsg_attrlen(static_cast<genlmsghdr*>(nlmsg_data(nlmsg_hdr(reply))), 0);
    found = nla_find(found, length, NBD_ATTR_INDEX);
    if (found != nullptr) index = nla_get_u32(found);
  });
  if (!sent.ok()) return sent.error();
  if (!index)
    return Error{.number = EPROTO, .syscall = "netlink(nbd)", .detail = "no index in the reply"};
  return *index;
}

Result<void> NbdReconfigure(const NbdAttributes& attributes) {
  return Send(NBD_CMD_RECONFIGURE, attributes, IgnoreReply);
}

Result<void> NbdDisconnect(uint32_t index) {
  return Send(NBD_CMD_DISCONNECT, NbdAttributes{.index = index}, IgnoreReply);
}

Result<std::vector<NbdDeviceStatus>> NbdStatus() {
  std::vector<NbdDeviceStatus> devices;
  const Result<void> sent = Send(NBD_CMD_STATUS, NbdAttributes{}, [&devices](nl_msg* reply) {
    auto* header = static_cast<genlmsghdr*>(nlmsg_data(nlmsg_hdr(reply)));
    const nlattr* list =
        nla_find(genlmsg_attrdata(header, 0), genlmsg_attrlen(header, 0), NBD_ATTR_DEVICE_LIST);
    if (list == nullptr) return;
    nlattr* item = nullptr;
    int remaining = 0;
    nla_for_each_nested(item, list, remaining) devices.push_back(ParseDevice(item));
  });
  if (!sent.ok()) return sent.error();
  return devices;
}

}  // namespace iserd
