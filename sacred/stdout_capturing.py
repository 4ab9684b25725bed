"""Sacred's path of ``sacred.core.output_capture``: the same module."""

import sys

import sacred.core.output_capture as _real
from sacred.core.lending import lend
from sacred.core.output_capture import *  # noqa: F403

lend(
    _real,
    CapturedStdout="sacred.core.captured_stdout",
    SETTINGS="sacred.core.settings",
    TeeingStreamProxy="sacred.core.captured_stdout",
    flush="sacred.core.captured_stdout",
    get_stdcapturer="sacred.core.captured_stdout",
    no_tee="sacred.core.captured_stdout",
    tee_output_fd="sacred.core.captured_stdout",
    tee_output_python="sacred.core.captured_stdout",
)
sys.modules[__name__] = _real
