#include "reactor/socket_address.h"

#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace iserd {

Result<SocketAddress> SocketAddress::Parse(const std::string& address, uint32_t port) {
  if (port == 0 || port > 65535)
    return Error{EINVAL, "getaddrinfo", "port " + std::to_string(port)};
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list) != 0 ||
      list == nullptr)
    return Error{EINVAL, "getaddrinfo", "not a numeric address: " + address};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  SocketAddress result;
  memcpy(&result.storage, list->ai_addr, list->ai_addrlen);
  result.length = list->ai_addrlen;
  return result;
}

}  // namespace iserd
