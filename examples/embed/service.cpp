// A trained character model with many users: each sends the beginning of a text and gets its continuation, 20
// characters, of which each is the most probable one. At every step one user joins the batch, all users of the batch
// read one character, and those whose answer is complete leave it: all rows share one product per weight matrix.
//
//   service MODEL.safetensors TEXT…
#include <hmrnn/hmrnn.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace {

struct User {
  std::string text;  // the given beginning, then the answer
  size_t given;      // length of the beginning
  size_t read = 0;   // number of characters that the model has read
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw hmrnn::Error("usage: service MODEL.safetensors TEXT...");
  const auto trained = hmrnn::load_char_lm(argv[1]);  // the model and its vocabulary
  std::deque<User> waiting;
  for (int i = 2; i < argc; ++i) {
    std::string known;
    for (const char c : std::string(argv[i])) {
      if (trained.vocabulary.contains(static_cast<uint8_t>(c))) known += c;
    }
    if (!known.empty()) waiting.push_back({known, known.size()});
  }
  std::vector<User> users;
  std::optional<hmrnn::CharLMStream> streams;  // a row for each user
  while (!waiting.empty() || !users.empty()) {
    if (!waiting.empty()) {
      const auto newcomer = trained.model->stream();
      streams = streams ? hmrnn::CharLMStream::join({&*streams, &newcomer}) : hmrnn::CharLMStream::join({&newcomer});
      users.push_back(waiting.front());
      waiting.pop_front();
    }
    std::vector<int64_t> symbols;
    for (auto& user : users) {
      symbols.push_back(trained.vocabulary.index(static_cast<uint8_t>(user.text[user.read++])));
    }
    const auto next = trained.model->step(torch::tensor(symbols, torch::kInt64), *streams).argmax(1);
    std::vector<int64_t> stay;
    std::vector<User> staying;
    for (size_t row = 0; row < users.size(); ++row) {
      auto& user = users[row];
      if (user.read == user.text.size()) {
        user.text += static_cast<char>(trained.vocabulary.bytes().at(next[static_cast<int64_t>(row)].item<int64_t>()));
      }
      if (user.text.size() == user.given + 20) {
        std::replace_if(
            user.text.begin(), user.text.end(), [](unsigned char c) { return c < 32; }, ' ');
        std::printf("%s -> %s\n", user.text.substr(0, user.given).c_str(), user.text.substr(user.given).c_str());
        continue;
      }
      stay.push_back(static_cast<int64_t>(row));
      staying.push_back(user);
    }
    if (stay.size() == users.size()) continue;
    users = staying;
    streams = stay.empty() ? std::nullopt : std::optional(streams->select_rows(stay));
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "service: %s\n", error.what());
  return 2;
}
