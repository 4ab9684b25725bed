"""Sacred's path of ``sacred.core.initialize``: the same module."""

import sys

import sacred.core.initialize as _real
from sacred.core.initialize import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    ConfigAddedError="sacred.core.errors",
    ConfigDict="sacred.core.config.config_dict",
    ConfigSummary="sacred.core.config.config_summary",
    NamedConfigNotFoundError="sacred.core.errors",
    Run="sacred.core.run",
    SETTINGS="sacred.core.settings",
    chain_evaluate_config_scopes="sacred.core.config.utils",
    convert_to_nested_dict="sacred.core.dotted",
    create_rnd="sacred.core.randomness",
    dogmatize="sacred.core.config.utils",
    get_by_dotted_path="sacred.core.dotted",
    get_host_info="sacred.core.host_info",
    get_seed="sacred.core.randomness",
    is_prefix="sacred.core.dotted",
    iter_prefixes="sacred.core.dotted",
    iterate_flattened="sacred.core.dotted",
    join_paths="sacred.core.dotted",
    load_config_file="sacred.core.config.config_files",
    make_read_only="sacred.core.config.custom_containers",
    recursive_update="sacred.core.dotted",
    rel_path="sacred.core.dotted",
    set_by_dotted_path="sacred.core.dotted",
    undogmatize="sacred.core.config.utils",
)
sys.modules[__name__] = _real
