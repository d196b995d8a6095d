// SPDX-License-Identifier: MIT
#include "doctor/render.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/printable.h"

namespace kportal::doctor {
namespace {

// Where the columns of a hop's line begin; what is longer moves the rest.
constexpr std::size_t kNameColumn = 11;
constexpr std::size_t kDetailColumn = 32;

std::string_view tint_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "\x1b[32m";
    case Verdict::warning:
      return "\x1b[33m";
    case Verdict::failed:
      return "\x1b[31m";
    case Verdict::skipped:
      return "\x1b[2m";
  }
  return "";
}

std::string in_words(std::chrono::microseconds time) {
  if (time.count() < 1'000) return "<1 ms";
  if (time.count() < 1'000'000) return fmt::format("{} ms", time.count() / 1'000);
  return fmt::format("{:.1f} s", static_cast<double>(time.count()) / 1e6);
}

// Code points, which is near enough to columns.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

// Lines of at most `columns`, broken at blanks; a longer word has a line of its own.
std::vector<std::string> wrap(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  std::string line;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t const end = std::min(text.find(' ', begin), text.size());
    std::string_view const word = text.substr(begin, end - begin);
    if (!line.empty() && width(line) + 1 + width(word) > columns) {
      lines.push_back(std::move(line));
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
    begin = end + 1;
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

class Table {
 public:
  explicit Table(bool color) : color_(color) {}

  void title(std::string_view text) {
    if (!text_.empty()) text_ += '\n';
    text_ += printable(text);
    text_ += '\n';
  }

  void hops(std::vector<Hop> const& all) {
    std::vector<std::string_view> not_tried;
    for (Hop const& one : all) {
      bool const tried = one.verdict != Verdict::skipped || !one.detail.empty();
      if (tried) {
        hop(one);
      } else {
        not_tried.push_back(to_word(one.name));
      }
    }
    if (not_tried.empty()) return;
    line(Verdict::skipped, "", fmt::format("not tried: {}", fmt::join(not_tried, ", ")),
         kNameColumn);
  }

  // A line of `text`, that goes on under itself from `column` on.
  void line(Verdict verdict, std::string_view head, std::string_view text, std::size_t column) {
    text_ += "  ";
    if (color_) text_ += tint_of(verdict);
    text_ += to_word(verdict);
    if (color_) text_ += "\x1b[0m";
    std::string const start =
        fmt::format("{:{}}{}", "", kNameColumn - 2 - to_word(verdict).size(), head);
    std::size_t const used = 2 + to_word(verdict).size() + width(start);
    std::size_t const indent = std::max(column, used);
    std::string const shown = printable(text);
    std::string gap(indent - used, ' ');
    text_ += start;
    for (std::string const& part : wrap(shown, kColumns - std::min(indent, kColumns / 2))) {
      text_ += gap + part + '\n';
      gap.assign(indent, ' ');
    }
    if (!shown.empty()) return;
    while (text_.back() == ' ') text_.pop_back();
    text_ += '\n';
  }

  // As the title, but over several lines if need be.
  void ending(std::string_view text) {
    text_ += '\n';
    for (std::string const& part : wrap(printable(text), kColumns)) text_ += part + '\n';
  }

  std::string take() { return std::move(text_); }

 private:
  void hop(Hop const& hop) {
    bool const tried = hop.verdict != Verdict::skipped;
    line(hop.verdict,
         fmt::format("{:10}  {:>7}  ", to_word(hop.name), tried ? in_words(hop.took) : ""),
         hop.detail, kDetailColumn);
    paragraph("", hop.message);
    paragraph("-> ", hop.cure);
  }

  // Each line of `text` wrapped; the first begins with the mark.
  void paragraph(std::string_view mark, std::string_view text) {
    std::string gap = fmt::format("{:{}}{}", "", kNameColumn, mark);
    while (!text.empty()) {
      std::string_view const line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      for (std::string const& part : wrap(printable(line), kColumns - gap.size())) {
        text_ += gap + part + '\n';
        gap.assign(gap.size(), ' ');
      }
    }
  }

  bool color_;
  std::string text_;
};

std::string title_of(ClusterReport const& cluster) {
  std::string text = cluster.context.empty() ? "cluster" : "context " + cluster.context;
  if (!cluster.server.empty()) text += ", " + cluster.server;
  return text;
}

void add_forward(Table& table, Report const& report, ForwardReport const& forward) {
  table.title(fmt::format("{}  {} in {}", forward.id, forward.resource, forward.namespace_));
  if (forward.disabled) {
    return table.line(Verdict::skipped, "", "disabled in the configuration", kNameColumn);
  }
  ClusterReport const& cluster = report.clusters.at(forward.cluster);
  if (Hop const* const hop = cluster.hops.first_failed()) {
    table.line(Verdict::failed, "",
               fmt::format("{}: see {} above", to_word(hop->name), title_of(cluster)), kNameColumn);
  }
  table.hops(forward.hops.all());
}

std::size_t warnings_of(Hops const& hops) {
  auto const& all = hops.all();
  return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [](Hop const& hop) { return hop.verdict == Verdict::warning; }));
}

std::string summary(Report const& report) {
  std::vector<std::string> failed;
  std::size_t unfinished = 0;
  std::size_t warnings = warnings_of(report.config);
  for (ClusterReport const& cluster : report.clusters) warnings += warnings_of(cluster.hops);
  for (ForwardReport const& forward : report.forwards) {
    warnings += warnings_of(forward.hops);
    Hop const* const hop = report.first_failed(forward);
    if (hop != nullptr) failed.push_back(fmt::format("{} ({})", forward.id, to_word(hop->name)));
    if (report.unfinished(forward)) ++unfinished;
  }
  std::size_t const all = report.forwards.size();
  std::string const count = fmt::format("{} forward{}", all, all == 1 ? "" : "s");
  if (!failed.empty()) {
    return fmt::format("{}: {} failed: {}", count, failed.size(), fmt::join(failed, ", "));
  }
  if (unfinished > 0) return fmt::format("{}: {} not tried to the end", count, unfinished);
  if (warnings > 0) return fmt::format("{}: all work; warnings: {}", count, warnings);
  return fmt::format("{}: all is well", count);
}

class Json {
 public:
  void key(std::string_view name) {
    comma();
    append_json_string(text_, name);
    text_ += ':';
    first_ = true;
  }
  void text(std::string_view name, std::string_view value) {
    key(name);
    append_json_string(text_, value);
    first_ = false;
  }
  void raw(std::string_view name, std::string_view value) {
    key(name);
    text_ += value;
    first_ = false;
  }
  void open(char bracket) {
    comma();
    text_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    text_ += bracket;
    first_ = false;
  }
  std::string take() { return std::move(text_); }

 private:
  void comma() {
    if (!first_) text_ += ',';
    first_ = false;
  }
  std::string text_;
  bool first_ = true;
};

void add_hop(Json& json, Hop const& hop) {
  json.open('{');
  json.text("name", to_word(hop.name));
  json.text("verdict", to_word(hop.verdict));
  json.raw("millis", fmt::format("{:.3f}", static_cast<double>(hop.took.count()) / 1000));
  json.text("detail", hop.detail);
  json.text("message", hop.message);
  json.text("cure", hop.cure);
  json.close('}');
}

void add_forward(Json& json, Report const& report, ForwardReport const& forward) {
  Hop const* const failed = report.first_failed(forward);
  std::vector<Hop> hops = report.config.all();
  auto const add = [&](std::vector<Hop> const& more) {
    hops.insert(hops.end(), more.begin(), more.end());
  };
  if (!forward.disabled) add(report.clusters.at(forward.cluster).hops.all());
  if (!forward.disabled) add(forward.hops.all());
  bool const warned = std::any_of(hops.begin(), hops.end(),
                                  [](Hop const& hop) { return hop.verdict == Verdict::warning; });
  json.open('{');
  json.text("id", forward.id);
  json.text("context", forward.context);
  json.text("namespace", forward.namespace_);
  json.text("resource", forward.resource);
  json.raw("localPort", fmt::format("{}", forward.local_port));
  bool const skipped = forward.disabled || report.unfinished(forward);
  json.text("verdict", to_word(failed != nullptr ? Verdict::failed
                               : skipped         ? Verdict::skipped
                               : warned          ? Verdict::warning
                                                 : Verdict::ok));
  json.text("failed", failed != nullptr ? to_word(failed->name) : "");
  json.key("hops");
  json.open('[');
  for (Hop const& hop : hops) add_hop(json, hop);
  json.close(']');
  json.close('}');
}

void add_config_alone(Json& json, Report const& report) {
  json.open('{');
  json.text("id", "");
  json.text("verdict", to_word(Verdict::failed));
  json.text("failed", to_word(HopName::config));
  json.key("hops");
  json.open('[');
  for (Hop const& hop : report.config.all()) add_hop(json, hop);
  json.close(']');
  json.close('}');
}

}  // namespace

std::string to_table(Report const& report, bool color) {
  Table table(color);
  table.title("configuration");
  table.hops(report.config.all());
  if (report.config.first_failed() != nullptr) return table.take();
  for (ClusterReport const& cluster : report.clusters) {
    table.title(title_of(cluster));
    table.hops(cluster.hops.all());
  }
  for (ForwardReport const& forward : report.forwards) add_forward(table, report, forward);
  table.ending(summary(report));
  return table.take();
}

std::string to_json(Report const& report) {
  Json json;
  json.open('[');
  if (report.config.first_failed() != nullptr) add_config_alone(json, report);
  for (ForwardReport const& forward : report.forwards) add_forward(json, report, forward);
  json.close(']');
  return json.take() + "\n";
}

}  // namespace kportal::doctor
