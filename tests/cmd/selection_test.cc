// SPDX-License-Identifier: MIT
#include "cmd/selection.h"

#include <gtest/gtest.h>

namespace kportal::cmd {
namespace {

config::Config three() {
  config::Config config;
  for (std::string const alias : {"", "page", ""}) {
    config::ForwardSpec spec;
    spec.context = "lab";
    spec.namespace_ = "shop";
    spec.resource = config.forwards.size() < 2 ? "svc/web" : "svc/db";
    spec.local_port = static_cast<std::uint16_t>(8080 + config.forwards.size());
    spec.alias = alias;
    config.forwards.push_back(spec);
  }
  return config;
}

std::vector<std::string> selected(std::vector<std::string> const& names) {
  config::Config config = three();
  std::vector<std::string> problems;
  select_named(config, names, problems);
  if (!problems.empty()) return problems;
  std::vector<std::string> out;
  for (auto const& spec : config.forwards) out.push_back(spec.id());
  return out;
}

using Words = std::vector<std::string>;

TEST(SelectionTest, ByAliasIdOrResource) {
  EXPECT_EQ(selected({}).size(), 3u);
  EXPECT_EQ(selected({"page"}), Words{"page:8081"});
  EXPECT_EQ(selected({"svc/db", "page:8081"}), (Words{"page:8081", "lab/shop/svc/db:8082"}));
  EXPECT_EQ(selected({"lab/shop/svc/web:8080"}), Words{"lab/shop/svc/web:8080"});
}

TEST(SelectionTest, UnknownAndAmbiguousNamesAreProblems) {
  EXPECT_EQ(selected({"svc/web", "none"}),
            (Words{"svc/web is not one forward but 2: lab/shop/svc/web:8080, page:8081",
                   "no forward is called none"}));
}

}  // namespace
}  // namespace kportal::cmd
