// SPDX-License-Identifier: MIT
// The little of protobuf that the lab has to read: kubectl asks for its rights (auth can-i) in the
// API server's protobuf, whatever the rest of it speaks. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace kportal::lab {

// The last field of that number that is text, bytes or a message (protobuf encoding, wire type 2);
// nothing if there is none or the message is broken.
std::optional<std::string_view> protobuf_field(std::string_view message, unsigned number);

// What a Kubernetes object in protobuf holds: behind "k8s\0" a runtime.Unknown, in it the object
// (apimachinery pkg/runtime/generated.proto). Nothing for any other text.
std::optional<std::string_view> protobuf_object(std::string_view body);

}  // namespace kportal::lab
