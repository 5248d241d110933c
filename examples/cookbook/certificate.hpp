// SPDX-License-Identifier: BSD-3-Clause
// A certificate for "localhost" that signs itself, and its key, which is no secret: for the recipe of TLS and nothing else.
#pragma once

namespace cookbook {

inline constexpr const char* certificate =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBaDCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv\n"
    "c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM\n"
    "CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCfoSrrWpXGuo/r7\n"
    "Fhsk27C+8EEP2WKr6Y3CGOD1sy0kbgWc1c/4lg5slaoBhd/Kfl9u8i/XFjIDWhc5\n"
    "snTDZ8ajTjBMMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E\n"
    "BTADAQH/MB0GA1UdDgQWBBSdU0ALieHwOLMUwBAxJgs/YZK/6jAKBggqhkjOPQQD\n"
    "AgNJADBGAiEAxrz8oVORDA4epXvhTClfFM0sNEq5bXfKXFKd/XkBvVsCIQDaSYfQ\n"
    "wJPqPcmNjdiIdM19lVPBqMeGFT1K5Ac+LYWaEQ==\n"
    "-----END CERTIFICATE-----\n";

inline constexpr const char* key =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgNe1hUJq/S8JRpVGT\n"
    "ivQ3DcUXoxdD8kGPD/mxC0wSwl+hRANCAAQn6Eq61qVxrqP6+xYbJNuwvvBBD9li\n"
    "q+mNwhjg9bMtJG4FnNXP+JYObJWqAYXfyn5fbvIv1xYyA1oXObJ0w2fG\n"
    "-----END PRIVATE KEY-----\n";

}  // namespace cookbook
