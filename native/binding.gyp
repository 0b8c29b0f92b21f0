{
  "targets": [
    {
      "target_name": "iserd",
      "sources": [
        "<!@(find module.cc error.cc reactor system -name '*.cc' 2>/dev/null | sort)"
      ],
      "include_dirs": [
        ".",
        "<!(node -p \"require('node-addon-api').include_dir\")"
      ],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "_GNU_SOURCE"],
      "cflags": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "<!@(pkg-config --cflags libnl-genl-3.0 libsystemd)"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++14"],
      "cflags_cc": ["-std=c++20", "-Wnon-virtual-dtor", "-Wno-missing-field-initializers"],
      "libraries": ["-lrdmacm", "-libverbs", "-lnl-genl-3", "-lnl-3", "-lsystemd"],
      "conditions": [
        ["'<!(echo ${ISERD_SANITIZE:-no})'=='yes'", {
          "cflags": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-O1", "-g"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
