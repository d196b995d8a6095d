// SPDX-License-Identifier: MIT
// GnuTLS is in this process where libcurl's LDAP and RTMP are built on it, and nothing here ever
// asks it for anything: curl may only do HTTP, by OpenSSL. It would set itself up all the same when
// it is loaded, which costs 0.6 to 0.9 MB. A program that defines this symbol is left in peace
// (GnuTLS manual, "Initialization": GNUTLS_SKIP_GLOBAL_INIT).

extern "C" __attribute__((visibility("default"))) int _gnutls_global_init_skip();

int _gnutls_global_init_skip() {
  return 1;
}
