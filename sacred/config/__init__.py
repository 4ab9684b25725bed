"""Configuration under the names that Sacred's users import."""

from __future__ import annotations

from sacred.config import (
    captured_function,
    config_dict,
    config_files,
    config_scope,
    config_summary,
    custom_containers,
    signature,
    utils,
)
from sacred.core.config.captured_function import create_captured_function
from sacred.core.config.config_dict import ConfigDict
from sacred.core.config.config_files import load_config_file, save_config_file
from sacred.core.config.config_scope import ConfigScope
from sacred.core.config.utils import chain_evaluate_config_scopes, dogmatize, undogmatize

__all__ = (
    "ConfigDict",
    "ConfigScope",
    "captured_function",
    "chain_evaluate_config_scopes",
    "config_dict",
    "config_files",
    "config_scope",
    "config_summary",
    "create_captured_function",
    "custom_containers",
    "dogmatize",
    "load_config_file",
    "save_config_file",
    "signature",
    "undogmatize",
    "utils",
)
