/* Cygnet for C++17: models and sessions that close themselves, errors as exceptions. A thin layer over cygnet.h, in this file
 * alone.
 *
 *     cygnet::model model("model.cygnet");
 *     cygnet::session session(model);
 *     auto input = session.input<float>(0);
 *     std::copy(pixels.begin(), pixels.end(), input.begin());
 *     session.run();
 *     for (float score : session.output<float>(0)) ...
 */

#ifndef CYGNET_HPP
#define CYGNET_HPP

#include "cygnet.h"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace cygnet {

/* What went wrong: the status of cygnet.h, and all that is known of it in words. */
class error : public std::runtime_error {
public:
    error(cygnet_status status, const std::string &text) : std::runtime_error(text), status_(status) {}

    /* A code of cygnet.h, which never changes its meaning. */
    cygnet_status status() const noexcept { return status_; }

private:
    cygnet_status status_;
};

namespace detail {

inline std::string last_error() {
    char text[512];
    const std::size_t length = cygnet_last_error(text, sizeof text);
    return std::string(text, length < sizeof text ? length : sizeof text - 1);
}

inline void check(cygnet_status status) {
    if (status != CYGNET_OK) {
        throw error(status, last_error());
    }
}

/* Bytes at a multiple of what arenas and models ask for. */
class memory {
public:
    explicit memory(std::size_t size)
        : bytes_(static_cast<std::uint8_t *>(::operator new(size ? size : 1, alignment()))), size_(size) {}

    std::uint8_t *data() const noexcept { return bytes_.get(); }
    std::size_t size() const noexcept { return size_; }

private:
    static constexpr std::align_val_t alignment() { return std::align_val_t(CYGNET_ARENA_ALIGNMENT); }
    struct release {
        void operator()(std::uint8_t *bytes) const noexcept { ::operator delete(bytes, alignment()); }
    };
    std::unique_ptr<std::uint8_t, release> bytes_;
    std::size_t size_;
};

/* The element type of cygnet.h for a C++ type. */
template <class T> struct element;
template <> struct element<float> { static constexpr std::uint32_t code = CYGNET_F32; };
template <> struct element<double> { static constexpr std::uint32_t code = CYGNET_F64; };
template <> struct element<std::int8_t> { static constexpr std::uint32_t code = CYGNET_I8; };
template <> struct element<std::uint8_t> { static constexpr std::uint32_t code = CYGNET_U8; };
template <> struct element<std::int16_t> { static constexpr std::uint32_t code = CYGNET_I16; };
template <> struct element<std::uint16_t> { static constexpr std::uint32_t code = CYGNET_U16; };
template <> struct element<std::int32_t> { static constexpr std::uint32_t code = CYGNET_I32; };
template <> struct element<std::uint32_t> { static constexpr std::uint32_t code = CYGNET_U32; };
template <> struct element<std::int64_t> { static constexpr std::uint32_t code = CYGNET_I64; };
template <> struct element<std::uint64_t> { static constexpr std::uint32_t code = CYGNET_U64; };
template <> struct element<bool> { static constexpr std::uint32_t code = CYGNET_BOOL; };

} // namespace detail

/* A status of this layer alone: elements are of another type than asked for. */
constexpr cygnet_status wrong_type = -1;

/* The elements of an input or an output in its actual shape, in the session's arena: dense, row-major. As long as the session
 * lives and its shapes stay. */
template <class T> class tensor {
public:
    explicit tensor(const cygnet_tensor &view) : view_(view) {
        if (view.dtype != detail::element<std::remove_const_t<T>>::code) {
            throw error(wrong_type, "tensor `" + name() + "` has elements of type " + std::to_string(view.dtype) +
                                        " (see cygnet.h), asked for was type " +
                                        std::to_string(detail::element<std::remove_const_t<T>>::code));
        }
    }

    T *data() const noexcept { return static_cast<T *>(view_.data); }
    std::size_t size() const noexcept { return view_.bytes / sizeof(T); }
    T *begin() const noexcept { return data(); }
    T *end() const noexcept { return data() + size(); }
    T &operator[](std::size_t i) const noexcept { return data()[i]; }

    /* Number of axes, and the length of one; 0 beyond. */
    std::size_t rank() const noexcept { return view_.rank; }
    std::size_t dim(std::size_t axis) const noexcept { return axis < CYGNET_MAX_RANK ? view_.dims[axis] : 0; }
    std::string name() const { return std::string(view_.name, view_.name_length); }

private:
    cygnet_tensor view_;
};

/* A validated model. Copies are the same model; any number of threads may use it. */
class model {
public:
    /* Opens a bundle or a bare program from a file, by memory map where the system has it. The file must not change. */
    explicit model(const std::string &path) : model(path.c_str()) {}
    explicit model(const char *path) {
        cygnet_model *opened = nullptr;
        detail::check(cygnet_model_open_path(path, &opened));
        handle_.reset(opened, cygnet_model_close);
    }

    /* Opens a copy of bytes in memory. */
    model(const void *bytes, std::size_t length) {
        auto copy = std::make_shared<detail::memory>(length);
        const auto *from = static_cast<const std::uint8_t *>(bytes);
        for (std::size_t i = 0; i < length; i++) {
            copy->data()[i] = from[i];
        }
        cygnet_model *opened = nullptr;
        detail::check(cygnet_model_open(copy->data(), length, &opened));
        handle_.reset(opened, [copy](cygnet_model *m) { cygnet_model_close(m); });
    }

    std::size_t arena_bytes() const noexcept { return cygnet_model_arena_bytes(get()); }
    std::size_t inputs() const noexcept { return cygnet_input_count(get()); }
    std::size_t outputs() const noexcept { return cygnet_output_count(get()); }

    /* For the functions of cygnet.h. */
    const cygnet_model *get() const noexcept { return handle_.get(); }

private:
    std::shared_ptr<cygnet_model> handle_;
};

/* A model with memory to run in, which lives as long as the session. One thread at a time. Moved, not copied. */
class session {
public:
    explicit session(model of) : model_(std::move(of)), arena_(model_.arena_bytes()) {
        cygnet_session *opened = nullptr;
        detail::check(cygnet_session_open(model_.get(), arena_.data(), arena_.size(), &opened));
        handle_.reset(opened);
    }

    session(session &&) noexcept = default;
    session &operator=(session &&other) noexcept {
        // A session ends before its arena, and that before its model.
        handle_ = std::move(other.handle_);
        arena_ = std::move(other.arena_);
        model_ = std::move(other.model_);
        return *this;
    }

    /* Gives an input its actual shape; models without free axes need none. */
    void set_shape(std::size_t input, std::initializer_list<std::size_t> dims) { set_shape(input, dims.begin(), dims.size()); }
    void set_shape(std::size_t input, const std::size_t *dims, std::size_t rank) {
        detail::check(cygnet_session_set_input_shape(get(), input, dims, rank));
    }

    /* An input to fill before each run: a run may overwrite its inputs. */
    template <class T> tensor<T> input(std::size_t i) {
        cygnet_tensor view;
        detail::check(cygnet_session_input(get(), i, &view));
        return tensor<T>(view);
    }

    /* An output after a run. */
    template <class T> tensor<const T> output(std::size_t i) {
        cygnet_tensor view;
        detail::check(cygnet_session_output(get(), i, &view));
        return tensor<const T>(view);
    }

    /* Runs on the inputs as they stand. After a failure outputs and states are undefined: reset. */
    void run() { detail::check(cygnet_session_run(get())); }

    /* Sets every state to its initial value. */
    void reset() { detail::check(cygnet_session_reset(get())); }

    /* Runs the bundle's golden examples on this very machine; returns how many. */
    std::uint32_t self_test() {
        std::uint32_t examples = 0;
        detail::check(cygnet_session_self_test(get(), &examples));
        return examples;
    }

    const model &of() const noexcept { return model_; }

    /* For the functions of cygnet.h. */
    cygnet_session *get() noexcept { return handle_.get(); }

private:
    struct close {
        void operator()(cygnet_session *s) const noexcept { cygnet_session_close(s); }
    };
    model model_;
    detail::memory arena_;
    std::unique_ptr<cygnet_session, close> handle_;
};

} // namespace cygnet

#endif
