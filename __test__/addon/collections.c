// A native add-on that collects all garbage in a callback of the collector. V8 does this by itself if a callback allocates too much.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*GcCallback)(void *isolate, int type, int flags, void *data);
typedef void (*Add)(void *isolate, GcCallback, void *data, int types);
typedef void (*Collect)(void *isolate);
typedef void (*CollectKind)(void *isolate, int kind);

enum { kScavenge = 1 };

static int left, collections;
static bool young;

static void collect(void *isolate, int type, int flags, void *data) {
  static Collect low_memory;
  if (left == 0) return;
  left--;
  if (low_memory == NULL) low_memory = (Collect)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21LowMemoryNotificationEv");
  collections++;
  if (young) {
    static CollectKind minor;
    if (minor == NULL)
      minor = (CollectKind)dlsym(RTLD_DEFAULT, "_ZN2v87Isolate34RequestGarbageCollectionForTestingENS0_21GarbageCollectionTypeE");
    minor(isolate, 1);
  } else {
    low_memory(isolate);
  }
}

// collecting(when, young): registers a callback before (0) or after (1) scavenges, which collects all garbage, or, where `young` is
// true, all young garbage. That needs --expose-gc. It does nothing before `allow` is called.
static napi_value collecting(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2];
  int32_t when;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  napi_get_value_int32(env, values[0], &when);
  napi_get_value_bool(env, values[1], &young);
  void *(*current)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
  Add add = (Add)dlsym(RTLD_DEFAULT, when == 0
    ? "_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_"
    : "_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_");
  add(current(), collect, &collections, kScavenge);
  return NULL;
}

// allow(count): the next `count` calls of the callback collect.
static napi_value allow(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value;
  napi_get_cb_info(env, info, &count, &value, NULL, NULL);
  napi_get_value_int32(env, value, &left);
  return NULL;
}

// collections(): how often it has collected.
static napi_value count_collections(napi_env env, napi_callback_info info) {
  napi_value result;
  napi_create_int32(env, collections, &result);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "collecting", NAPI_AUTO_LENGTH, collecting, NULL, &function);
  napi_set_named_property(env, exports, "collecting", function);
  napi_create_function(env, "collections", NAPI_AUTO_LENGTH, count_collections, NULL, &function);
  napi_set_named_property(env, exports, "collections", function);
  napi_create_function(env, "allow", NAPI_AUTO_LENGTH, allow, NULL, &function);
  napi_set_named_property(env, exports, "allow", function);
  return exports;
}
