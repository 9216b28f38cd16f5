// The digit classifier through cygnet.hpp, and its errors: tests/run.rs compiles and runs this. Arguments as in run.c.
#include <cygnet.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t pixels = 28 * 28, classes = 10;
int failed = 0;

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition);     \
            failed = 1;                                                      \
        }                                                                    \
    } while (0)

std::vector<char> read(const char *path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> floats(const char *path) {
    const auto bytes = read(path);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char *>(values.data()));
    return values;
}

template <class F> cygnet_status status_of(F f) {
    try {
        f();
    } catch (const cygnet::error &e) {
        CHECK(e.what()[0] != '\0');
        return e.status();
    }
    return CYGNET_OK;
}

void classify(cygnet::session session, const std::vector<float> &pictures, const std::vector<float> &expected) {
    for (std::size_t digit = 0; digit < classes; digit++) {
        const auto input = session.input<float>(0);
        CHECK(input.size() == pixels && input.rank() == 4 && input.dim(3) == 28 && input.dim(9) == 0);
        CHECK(input.name() == "image");
        std::copy_n(pictures.begin() + static_cast<std::ptrdiff_t>(digit * pixels), pixels, input.begin());
        session.run();
        const auto output = session.output<float>(0);
        CHECK(output.size() == classes);
        for (std::size_t i = 0; i < classes; i++) {
            CHECK(std::fabs(output[i] - expected[digit * classes + i]) <= 1e-4f);
        }
        CHECK(std::max_element(output.begin(), output.end()) - output.begin() == static_cast<std::ptrdiff_t>(digit));
    }
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 4) {
        return 2;
    }
    const auto bytes = read(argv[1]);
    const auto pictures = floats(argv[2]), expected = floats(argv[3]);
    CHECK(pictures.size() == classes * pixels && expected.size() == classes * classes);

    // The model and its arena live as long as the session that was moved away.
    cygnet::session kept = [&] {
        const cygnet::model model(bytes.data(), bytes.size());
        CHECK(model.inputs() == 1 && model.outputs() == 1 && model.arena_bytes() > 0);
        cygnet::session first(model);
        CHECK(first.self_test() > 0);
        first.reset();
        first.set_shape(0, {1, 1, 28, 28});
        return first;
    }();
    classify(std::move(kept), pictures, expected);

    const cygnet::model file(argv[1]);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++) {
        threads.emplace_back([&] { classify(cygnet::session(file), pictures, expected); });
    }
    for (auto &thread : threads) {
        thread.join();
    }

    cygnet::session session(file);
    CHECK(status_of([] { cygnet::model("no such file"); }) == CYGNET_IO);
    CHECK(status_of([&] { cygnet::model(bytes.data(), bytes.size() / 2); }) >= 100);
    CHECK(status_of([&] { session.input<float>(1); }) == 304);
    CHECK(status_of([&] { session.output<float>(7); }) == 304);
    CHECK(status_of([&] { session.input<std::int8_t>(0); }) == cygnet::wrong_type);
    CHECK(status_of([&] { session.set_shape(0, {1, 28}); }) == 306);
    CHECK(status_of([&] { session.set_shape(0, {2, 1, 28, 28}); }) == 308);
    // Another takes its place, and works; the one that was there has ended.
    session = cygnet::session(cygnet::model(bytes.data(), bytes.size()));
    classify(std::move(session), pictures, expected);
    std::puts(failed ? "FAILED" : "ok");
    return failed;
}
