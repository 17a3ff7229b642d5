# How Homebrew builds millpond, and how `brew services` runs it. A release carries this file with the address and the
# checksum of its source filled in.
class Millpond < Formula
  desc "Local proxy that gives LLM clients one clean stream from every provider"
  homepage "HOMEPAGE"
  url "URL"
  sha256 "SHA256"
  license "Apache-2.0"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
  end

  # It reads millpond.toml of that folder, if there is one. A service has no environment of a shell: keys stand in files
  # that the config names.
  service do
    run [opt_bin/"millpond"]
    working_dir etc/"millpond"
    keep_alive true
    log_path var/"log/millpond.log"
    error_log_path var/"log/millpond.log"
  end

  def post_install
    (etc/"millpond").mkpath
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/millpond --version")
    bent = 'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"STOP"}]}'
    assert_match "data: [DONE]", pipe_output("#{bin}/millpond normalize", "#{bent}\n\n", 0)
  end
end
