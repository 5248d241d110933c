# SPDX-License-Identifier: BSD-3-Clause
"""Usage: asio_embed_browser_test.py PROGRAM ARTEFACTS. Looks at the page of examples/asio_embed with headless Chromium.

Both run in a network namespace that this script makes for itself, so that nothing of the browser's gets out. The browser is
driven by the DevTools protocol over a pipe. Pictures of the page go to the folder ARTEFACTS. Ends with 1 when something is
wrong; prints "[skipped] reason" where there is no browser or no namespace to be had."""

import base64
import ctypes
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 120  # seconds that only a hang takes


class Failure(Exception):
    pass


def check(right, what):
    if not right:
        raise Failure(what)


def leave_network():
    """Moves this process into a network namespace of its own, whose loopback interface is up. Returns why it cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_user, new_net = 0x10000000, 0x40000000
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(new_net if user == 0 else new_user | new_net) != 0:
        return "no network namespace: " + os.strerror(ctypes.get_errno())
    if user != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open("/proc/self/" + name, "w", encoding="ascii") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
    return None


class Program:
    """asio_embed on a simulated wire."""

    def __init__(self, path, port=0):
        command = [path, "--port", str(port), "--interval", "0.1"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said, found = "", None
        while not found:
            line = self.process.stdout.readline()
            check(line, f"the program did not start: {said}")
            said += line
            found = re.search(r"^listening on (\d+)", line)
        self.port = int(found.group(1))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(PATIENCE) == 0, "the program ended with an error")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Browser:
    def __init__(self, path, folder):
        requests, answers = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (requests[0], answers[1])]

        def hand_over():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        command = [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
                   "--user-data-dir=" + folder, "--remote-debugging-pipe", "about:blank"]
        self.log = open(os.path.join(folder, "log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, close_fds=False, preexec_fn=hand_over)
        for fd in (requests[0], answers[1], *theirs):
            os.close(fd)
        self.to, self.came = requests[1], answers[0]
        self.text = b""
        self.last = 0
        self.events = []  # (session, method, parameters)

    def read(self, limit):
        """Reads one message; None when there is none in time."""
        while b"\0" not in self.text:
            if not select.select([self.came], [], [], limit)[0]:
                return None
            part = os.read(self.came, 1 << 16)
            check(part, "the browser has ended")
            self.text += part
        message, self.text = self.text.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        text = json.dumps(message).encode() + b"\0"
        while text:
            text = text[os.write(self.to, text):]
        while True:
            answer = self.read(PATIENCE)
            check(answer is not None, f"no answer to {method}")
            if answer.get("id") == self.last:
                check("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]
            self.note(answer)

    def note(self, message):
        if "method" in message:
            self.events.append((message.get("sessionId"), message["method"], message["params"]))

    def end(self):
        try:
            self.call("Browser.close")
            self.process.wait(20)
        except (Failure, OSError, subprocess.TimeoutExpired):
            pass
        self.process.kill()
        self.process.wait()
        self.log.close()


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.size(1280, 900)
        self.call("Page.navigate", url=url)
        self.wait("the page does not load",
                  lambda: self.get("document.readyState === 'complete' && location.href !== 'about:blank'"))

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def media(self, **features):
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=wanted)

    def get(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        check("exceptionDetails" not in answer, f"{expression}: {answer.get('exceptionDetails')}")
        return answer["result"].get("value")

    def text(self, name):
        return self.get(f"document.getElementById({json.dumps(name)}).textContent")

    def number(self, name):
        found = re.match(r"[\d,.]+", self.text(name))
        return float(found.group(0).replace(",", "")) if found else -1

    def wait(self, what, true):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if true():
                return
            time.sleep(0.05)
        raise Failure(f"{what}; the page says: {self.get('document.body.innerText')}")

    def moves(self, name):
        before = self.number(name)
        self.wait(f"#{name} stays {before}", lambda: self.number(name) > before)

    def key(self, key, code, number, text=""):
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number, **more)

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
        print("picture:", path)

    def seen(self, method):
        return [parameters for session, name, parameters in self.browser.events
                if session == self.session and name == method]

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)


# The places where text has less contrast than WCAG 2.2 asks for (1.4.3).
CONTRAST = """(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parts(color).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
      .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
    if (!own || element.closest("script, noscript, option, [hidden]")) { continue; }
    const style = getComputedStyle(element);
    let behind = element;
    while (behind !== document.documentElement && parts(getComputedStyle(behind).backgroundColor)[3] === 0) {
      behind = behind.parentElement;
    }
    const pair = [light(element.namespaceURI.endsWith("svg") ? style.fill : style.color),
                  light(getComputedStyle(behind).backgroundColor)].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) { poor.push([element.outerHTML.slice(0, 80), ratio]); }
  }
  return poor;
})()"""


def shows_what_moves(page):
    page.wait("not connected", lambda: page.text("state") == "Connected.")
    for name in ("rx-total", "tx-total", "drop-total", "udp", "arp"):
        page.moves(name)
    page.wait("no rates", lambda: page.number("rx-rate") > 0 and page.number("tx-rate") > 0)
    points = "document.querySelector('#chart polyline.rx').getAttribute('points').split(' ').length"
    page.wait("the chart has no line", lambda: page.get(points) >= 3)
    check("received" in page.get("document.getElementById('chart').getAttribute('aria-label')"), "the chart has no words")
    rows = "[...document.querySelectorAll('#drops tr')].map((row) => row.innerText)"
    page.wait("no reason for what was corrupted", lambda: any("checksum" in row for row in page.get(rows)))
    check(page.get("document.getElementById('no-drops').hidden"), "it says that nothing was dropped")
    frames = [int(page.number("frames-" + place)) for place in ("free", "fill", "rx", "tx", "completion", "user")]
    check(page.text("frames-sum") == "2,048 of 2,048", f"frames are missing: {page.text('frames-sum')}")
    check(all(each >= 0 for each in frames) and frames[1] > 0, f"frames: {frames}")
    width = page.get("[...document.querySelectorAll('#census span')].reduce((sum, each) => sum + parseFloat(each.style.width), 0)")
    check(abs(width - 100) < 0.1, f"the bar of frames is {width} % long")
    check(page.get("document.getElementById('ring-fill').value > 0"), "the fill ring is shown as empty")
    check(page.text("source") == "simulated wire", page.text("source"))


def works_by_keyboard(page):
    def focused():
        seen = page.get("(() => { const style = getComputedStyle(document.activeElement);"
                        "return [document.activeElement.id || document.activeElement.className,"
                        " style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]; })()")
        check(seen[1], f"nobody sees that {seen[0]} has the focus")
        return seen[0]

    page.key("Tab", "Tab", 9)
    check(focused() == "skip", "the first stop is the link to the figures")
    page.key("Tab", "Tab", 9)
    check(focused() == "pause", "the second stop is the button")
    page.key(" ", "Space", 32, " ")
    check(page.get("document.getElementById('pause').getAttribute('aria-pressed')") == "true", "Space does not pause")
    shown = page.text("rx-total")
    came = len(page.seen("Network.webSocketFrameReceived"))
    page.wait("no samples while paused", lambda: page.get("1") and len(page.seen("Network.webSocketFrameReceived")) > came + 5)
    check(page.text("rx-total") == shown, "it moves while paused")
    page.key("Enter", "Enter", 13, "\r")
    check(page.get("document.getElementById('pause').getAttribute('aria-pressed')") == "false", "Enter does not go on")
    page.moves("rx-total")
    page.key("Tab", "Tab", 9)
    check(focused() == "span", "the third stop is the choice")
    page.key("ArrowUp", "ArrowUp", 38)
    check(page.get("document.getElementById('span').value") == "30", "an arrow does not choose")
    page.wait("the chart does not follow", lambda: "30 s ago" in page.get("document.getElementById('chart').textContent"))


def names_everything(page):
    page.call("Accessibility.enable")
    found = {}
    for node in page.call("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value", "")
        if not node.get("ignored"):
            found.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    for role, least in (("button", 1), ("combobox", 1), ("meter", 4), ("image", 1), ("link", 1), ("heading", 5), ("region", 4)):
        check(len(found.get(role, [])) >= least, f"there are {found.get(role)} of {role}; roles: {sorted(found)}")
        check(all(found[role]), f"a {role} has no name: {found[role]}")
    for role in ("main", "banner", "contentinfo", "status"):
        check(role in found, f"there is no {role}; roles: {sorted(found)}")
    page.call("Accessibility.disable")


def suits_eyes_and_screens(page, folder):
    pictures = {}
    for scheme in ("light", "dark"):
        page.media(prefers_color_scheme=scheme)
        poor = page.get(CONTRAST)
        check(not poor, f"too little contrast ({scheme}): {poor}")
        pictures[scheme] = page.get("getComputedStyle(document.body).backgroundColor")
        page.picture(os.path.join(folder, f"asio_embed_{scheme}.png"))
    check(pictures["light"] != pictures["dark"], "it looks the same in a dark scheme")
    page.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    check(page.get("getComputedStyle(document.querySelector('#census span')).transitionDuration") == "0s",
          "it moves though little motion is asked for")
    page.moves("rx-total")
    page.media(prefers_color_scheme="light")
    page.size(320, 640, mobile=True)
    page.moves("rx-total")
    over = page.get("[...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > 320.5)"
                    ".map((each) => each.outerHTML.slice(0, 60))")
    check(page.get("document.documentElement.scrollWidth") <= 320, f"a small screen has to scroll sideways: {over}")
    small = page.get("[...document.querySelectorAll('button, select')].map((each) => each.getBoundingClientRect())"
                     ".filter((each) => each.height < 24 || each.width < 24).length")
    check(small == 0, "something is too small for a finger")
    page.picture(os.path.join(folder, "asio_embed_small.png"))
    page.size(1280, 900)


def counts_other_pages(page, browser, url):
    page.wait("it does not count itself", lambda: page.number("viewers") == 1)
    other = Page(browser, url)
    other.wait("a second page is not counted", lambda: other.number("viewers") == 2)
    other.moves("rx-total")
    page.call("Page.bringToFront")  # what nobody sees is not drawn
    page.wait("the first page is not told", lambda: page.number("viewers") == 2)
    other.close()
    page.wait("a page that has gone is counted", lambda: page.number("viewers") == 1)
    page.moves("rx-total")


def stays_at_home(page, url):
    asked = [each["request"]["url"] for each in page.seen("Network.requestWillBeSent")]
    check(len(asked) >= 3, f"only {asked} was asked for")
    check(all(each.startswith((url, "data:")) for each in asked), f"it asks elsewhere: {asked}")
    wrong = page.seen("Runtime.exceptionThrown") + [each for each in page.seen("Log.entryAdded")
                                                     if each["entry"]["level"] in ("warning", "error")]
    check(not wrong, f"the browser complains: {wrong}")


def run(path, chromium, folder):
    with tempfile.TemporaryDirectory() as profile:
        program = Program(path)
        browser = Browser(chromium, profile)
        try:
            url = f"http://127.0.0.1:{program.port}/"
            page = Page(browser, url)
            shows_what_moves(page)
            works_by_keyboard(page)
            names_everything(page)
            suits_eyes_and_screens(page, folder)
            counts_other_pages(page, browser, url)
            stays_at_home(page, url)
            program.end()
            page.wait("it does not say that the program has ended", lambda: page.text("state").startswith("Not connected"))
            program = Program(path, program.port)
            page.wait("it does not connect again", lambda: page.text("state") == "Connected.")
            page.moves("rx-total")
            check(not page.seen("Runtime.exceptionThrown"), "the script has failed")
            program.end()
        finally:
            browser.end()
            program.kill()


def main():
    path, folder = sys.argv[1:3]
    chromium = shutil.which("chromium")
    if chromium is None:
        print("[skipped] there is no chromium; examples/install-packages --all installs it")
        return 0
    why_not = leave_network()
    if why_not:
        print("[skipped]", why_not)
        return 0
    os.makedirs(folder, exist_ok=True)
    try:
        run(path, chromium, folder)
    except Failure as failure:
        print("wrong:", failure)
        return 1
    return 0


sys.exit(main())
