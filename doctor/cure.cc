// SPDX-License-Identifier: MIT
#include "doctor/cure.h"

namespace kportal::doctor {
namespace {

// What a code means wherever it comes up.
std::string_view general(Errc code) {
  switch (code) {
    case Errc::no_such_context:
      return "name a context that exists, or the kubeconfig that has it (--kubeconfig, or "
             "kubeconfig: in the file)";
    case Errc::kubeconfig:
      return "mend the kubeconfig; kubectl config view reads it by the same rules";
    case Errc::unauthorized:
      return "the token or certificate is unknown to the server, or its time is over";
    case Errc::auth_plugin:
      return "kubectl with the same context runs the same plugin: if it works there, compare PATH, "
             "environment and terminal";
    case Errc::forbidden:
      return "ask whoever runs the cluster for this right";
    case Errc::server:
      return "the API server is in trouble, or something before it is; kubectl get --raw /readyz "
             "tells";
    case Errc::timeout:
      return "try again; if it stays, look at the load of the server and of the way to it";
    default:
      return "";
  }
}

std::string_view of_tcp(Errc code) {
  if (code == Errc::timeout) {
    return "no answer at all: a firewall drops the packets, or a VPN is not up";
  }
  return "is the cluster running, and are host and port of `server:` in the kubeconfig right?";
}

std::string_view of_tls(Errc code) {
  if (code == Errc::timeout) return "something accepts connections there, but speaks no TLS";
  return "certificate-authority, tls-server-name and the certificates of the kubeconfig must fit "
         "this server; get a new kubeconfig where they do not";
}

std::string_view of_pod(Errc code) {
  if (code == Errc::no_ready_pod) {
    return "kubectl get and describe tell why; one that runs but is not Ready is taken with "
           "`allowUnready: true`";
  }
  return general(code);
}

std::string_view of_tunnel(Errc code) {
  switch (code) {
    case Errc::network:
    case Errc::upgrade_refused:
      return "does something between here and the API server (a proxy, a load balancer) let "
             "neither "
             "WebSocket nor SPDY pass?";
    default:
      return general(code);
  }
}

std::string_view of_reply(Errc code) {
  switch (code) {
    case Errc::pod_refused:
      return "the pod listens on another port, or not yet, or only on the pod's own IP: forwarded "
             "connections come from localhost inside the pod";
    case Errc::pod_gone:
      return "the pod is going; try again in a moment";
    case Errc::stream_failed:
      return "the kubelet or the runtime of that node did not answer: look at the node";
    default:
      return general(code);
  }
}

}  // namespace

std::string cure_of(HopName hop, Errc code) {
  switch (hop) {
    case HopName::config:
    case HopName::port:
      return {};
    case HopName::resolve:
      return "is the host of `server:` in the kubeconfig right, and the VPN up that knows this "
             "name?";
    case HopName::tcp:
      return std::string(of_tcp(code));
    case HopName::proxy:
      return "is the proxy right for this server? It is proxy-url: of the kubeconfig, else "
             "HTTPS_PROXY; NO_PROXY leaves servers out";
    case HopName::tls:
      return std::string(of_tls(code));
    case HopName::target:
      if (code == Errc::not_found) return "check the name, the namespace and the context";
      return std::string(general(code));
    case HopName::pod:
      return std::string(of_pod(code));
    case HopName::local_port:
      return "free the port, or take another localPort (auto takes a free one)";
    case HopName::tunnel:
      return std::string(of_tunnel(code));
    case HopName::reply:
      return std::string(of_reply(code));
    case HopName::kubeconfig:
    case HopName::login:
    case HopName::rights:
      return std::string(general(code));
  }
  return {};
}

}  // namespace kportal::doctor
