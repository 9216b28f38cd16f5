//! Hands the board's memory map to the linker.

fn main() {
    println!(
        "cargo:rustc-link-search={}/../../board/memory/mps2",
        env!("CARGO_MANIFEST_DIR")
    );
    println!("cargo:rustc-link-arg=-Tlink.x");
}
