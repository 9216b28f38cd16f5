//! Link options of the shared library.

fn main() {
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if matches!(os.as_str(), "linux" | "android") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcygnet.so");
        if arch == "aarch64" {
            // Linkers assume pages of up to 64 KiB and fill files to match. Android asks for 16 KiB.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
}
