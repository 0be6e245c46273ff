// The few libuv functions that we use. Node exports libuv from its executable and promises its ABI within a Node major;
// node-api-headers does not carry uv.h, and building against headers that were downloaded is what we avoid. Declaring them here is
// safe across libuv 1.x: these are plain C functions with pointer and int arguments, all there since 1.19 (2017); libuv keeps
// its ABI within 1.x; the handle is opaque to us, its size asked at run time (uv_handle_size); the numbers are enum values
// that 1.x can only append to. When the headers are there, the compiler checks all of that.
#pragma once

#include <cstddef>

#if __has_include(<uv.h>)
#include <uv.h>
static_assert(UV_POLL == 8 && UV_READABLE == 1 && UV_WRITABLE == 2 && UV_PRIORITIZED == 8);
#else
extern "C" {
struct uv_loop_s;
struct uv_handle_s;
struct uv_poll_s;
using uv_loop_t = uv_loop_s;
using uv_handle_t = uv_handle_s;
using uv_poll_t = uv_poll_s;
enum uv_handle_type { UV_POLL = 8 };
enum uv_poll_event { UV_READABLE = 1, UV_WRITABLE = 2, UV_PRIORITIZED = 8 };
using uv_poll_cb = void (*)(uv_poll_t* handle, int status, int events);
using uv_close_cb = void (*)(uv_handle_t* handle);
size_t uv_handle_size(uv_handle_type type);
int uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
int uv_poll_start(uv_poll_t* handle, int events, uv_poll_cb callback);
int uv_poll_stop(uv_poll_t* handle);
void uv_close(uv_handle_t* handle, uv_close_cb callback);
void uv_ref(uv_handle_t* handle);
void uv_unref(uv_handle_t* handle);
void uv_handle_set_data(uv_handle_t* handle, void* data);
void* uv_handle_get_data(const uv_handle_t* handle);
const char* uv_err_name(int error);
const char* uv_strerror(int error);
}
#endif
