{
  # Second way to build the addon, for machines without cmake. CMakeLists.txt is the first; keep their flags alike.
  'targets': [{
    'target_name': 'hearsay',
    'sources': ['native/addon.cpp'],
    'defines': ['NAPI_VERSION=9', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
    # Before the headers of node-gyp's own: only Node-API is used, the same for every Node.
    'include_dirs': [],
    'cflags': ['-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '-ffp-contract=off'],
    'cflags!': ['-fno-strict-aliasing'],
    'cflags_cc': [
      '-std=c++20', '-O3',
      # -isystem: warnings are errors in our code, not in the headers of Node.
      '-isystem', "<!(node -p \"require('node:path').resolve(require('node-api-headers').include_dir)\")",
      '-isystem', "<!(node -p \"require('node:path').dirname(require.resolve('node-addon-api/napi.h'))\")",
    ],
    'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'CLANG_CXX_LIBRARY': 'libc++',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'GCC_OPTIMIZATION_LEVEL': '3',
      'OTHER_CPLUSPLUSFLAGS': [
        '-Wall', '-Wextra', '-Werror', '-ffp-contract=off',
        '-isystem', "<!(node -p \"require('node:path').resolve(require('node-api-headers').include_dir)\")",
        '-isystem', "<!(node -p \"require('node:path').dirname(require.resolve('node-addon-api/napi.h'))\")",
      ],
    },
    'msvs_settings': {
      'VCCLCompilerTool': {
        'AdditionalOptions': ['/std:c++20', '/W4', '/WX', '/fp:precise'],
        'AdditionalIncludeDirectories': [
          "<!(node -p \"require('node:path').dirname(require.resolve('node-addon-api/napi.h'))\")",
        ],
      },
    },
  }],
}
