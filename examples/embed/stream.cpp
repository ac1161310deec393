// A trained character model in a service: it reads characters as they arrive and immediately prints for each whether a
// segment ends there and which character it expects next. The model can serve many texts at once, since the state is in
// the stream.
//
//   stream MODEL.safetensors < TEXT
#include <hmrnn/hmrnn.h>

#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 2) throw hmrnn::Error("usage: stream MODEL.safetensors < TEXT");
  const auto trained = hmrnn::load_char_lm(argv[1]);  // the model and its vocabulary
  auto stream = trained.model->stream();
  for (int byte; (byte = std::getchar()) != EOF;) {
    if (!trained.vocabulary.contains(static_cast<uint8_t>(byte))) continue;
    const auto logits = trained.model->step(trained.vocabulary.index(static_cast<uint8_t>(byte)), stream);
    std::string boundaries;  // one mark for each layer except the top
    for (int64_t l = 0; l < stream.z().size(0); ++l) boundaries += stream.z()[l].item<float>() > 0 ? '|' : '.';
    const auto [chance, next] = torch::softmax(logits, 0).max(0);
    const int expected = trained.vocabulary.bytes().at(next.item<int64_t>());
    const auto printable = [](int c) { return c < 32 ? ' ' : c; };
    std::printf("%c %s  next '%c' %.2f\n", printable(byte), boundaries.c_str(), printable(expected),
                chance.item<float>());
    std::fflush(stdout);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "stream: %s\n", error.what());
  return 2;
}
