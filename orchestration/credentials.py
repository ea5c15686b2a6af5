"""Credentials, made ready in the environment, before the profile and the collectors read them there.

What is set already wins. No message has a value, nor what a library says of one.
"""

import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import SecretStr

from orchestration.origin import FETCHED
from orchestration.settings import AWS_NAME, DOT_ENV, Settings, is_snowflake

KEY, KEY_PATH = "DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_PRIVATE_KEY_PATH"
PASSPHRASE, TOKEN = "DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "DBT_ENV_SECRET_SNOWFLAKE_OAUTH_TOKEN"

# The keys of the Snowflake secret's JSON, and the variables that they become.
_REQUIRED = {"account": "SNOWFLAKE_ACCOUNT", "user": "SNOWFLAKE_USER"}
_KEY_PAIR = {"private_key": KEY, "private_key_passphrase": PASSPHRASE}
_OPTIONAL = {name: f"SNOWFLAKE_{name.upper()}" for name in ("role", "warehouse", "database")}

_ADVICE = {
    "ResourceNotFoundException": "create it, or correct {setting} or AWS_REGION",
    "AccessDeniedException": "allow this identity secretsmanager:GetSecretValue on it, and kms:Decrypt on its key",
    "NoCredentialsError": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
    "NoRegionError": "set AWS_REGION",
}


class CredentialsError(RuntimeError):
    """A credential is missing or of no use. The text says which and what to do."""


def fetch_snowflake_secret(settings: Settings) -> None:
    """Puts what the configured secret of AWS Secrets Manager holds into the environment; calls nobody for nothing."""
    if not (settings.snowflake_secret_id and is_snowflake()):
        return
    # A key and its passphrase go together: beside a key that is set, those of the secret would be in the way.
    has_key = os.environ.get(KEY) or os.environ.get(KEY_PATH) or not _is_key_pair()
    wanted = _REQUIRED | _OPTIONAL | ({} if has_key else _KEY_PAIR)
    wanted = {key: variable for key, variable in wanted.items() if not os.environ.get(variable)}
    required = wanted.keys() - _OPTIONAL.keys() - {"private_key_passphrase"}
    if not required:
        return
    secret = _fetch(settings.snowflake_secret_id, "SNOWFLAKE_SECRET_ID", required, settings)
    found = {variable: secret[key] for key, variable in wanted.items() if secret.get(key)}
    FETCHED.update(found)
    os.environ.update(found)


def with_kafka_secret(settings: Settings) -> Settings:
    """`settings` with the brokers and the key of the configured secret; what is set already wins.

    Only the collector of offsets needs it, and the environment of other processes does not.
    """
    if settings.kafka_config is None:
        raise CredentialsError(
            "KAFKA_CONFIG is not a JSON object: write it like "
            '{"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN"}, with the names of librdkafka.'
        )
    if not settings.kafka_secret_id:
        return settings
    if not re.match(AWS_NAME, settings.kafka_secret_id):
        raise CredentialsError("KAFKA_SECRET_ID is neither the name nor the ARN of an AWS secret: correct it.")
    required = {"api_key", "api_secret"} | (set() if settings.kafka_bootstrap_servers else {"bootstrap_servers"})
    secret = _fetch(settings.kafka_secret_id, "KAFKA_SECRET_ID", required, settings)
    config = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": secret["api_key"],
        "sasl.password": secret["api_secret"],
    }
    return settings.model_copy(
        update={
            "kafka_config": {name: SecretStr(value) for name, value in config.items()} | settings.kafka_config,
            "kafka_bootstrap_servers": settings.kafka_bootstrap_servers or secret["bootstrap_servers"],
        }
    )


def _fetch(secret_id: str, setting: str, required: set[str], settings: Settings) -> dict[str, Any]:
    """The secret's JSON, which has text under every key of `required`."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    # It logs the answer at its debug level, and where it found what at the next.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    name = f"AWS secret {secret_id}"
    try:
        patience = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})
        client = boto3.Session().client("secretsmanager", region_name=settings.aws_region, config=patience)
        name += f" ({client.meta.region_name})"
        text = client.get_secret_value(SecretId=secret_id).get("SecretString")
    except (BotoCoreError, ClientError, ValueError) as error:
        # Not what AWS says: to a wrong signature it answers with the request's headers, the session's token among them.
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        advice = _ADVICE.get(code, "check the network, AWS_REGION and the AWS credentials, which may have expired")
        raise CredentialsError(f"{name}: {code}: {advice.format(setting=setting)}.") from None
    try:
        secret = json.loads(text or "")
    except ValueError:
        secret = None
    if not isinstance(secret, dict):
        raise CredentialsError(f"{name} is not a JSON object: give it the keys that {setting} in README.md names.")
    if lacking := sorted(key for key in required if not (isinstance(secret.get(key), str) and secret[key])):
        raise CredentialsError(f"{name} lacks {', '.join(lacking)}: add to its JSON what is missing, as text.")
    return {key: value for key, value in secret.items() if isinstance(value, str)}


def check_profile(profile: str) -> None:
    """Raises CredentialsError where `profile`, the text of profiles.yml, lacks the target, where variables are not set
    that the target has no default for, or where a key cannot be read: all of it at once.

    Makes a private key that came on one line readable.
    """
    problems = list(_missing(profile))
    try:
        _check_snowflake(profile)
    except CredentialsError as error:
        problems.append(str(error))
    if problems:
        raise CredentialsError(" ".join(problems))


def _missing(profile: str) -> Iterator[str]:
    try:
        chosen = yaml.safe_load(profile)["streaming_ops"]
        outputs, target = chosen["outputs"], chosen["target"]
        if "DBT_TARGET" in target:
            target = os.environ.get("DBT_TARGET", "local")
            if target not in outputs:
                source, names = DOT_ENV.source("DBT_TARGET"), _listed(list(outputs))
                yield f"DBT_TARGET is {target[:60]!r} ({source}): the targets of profiles.yml are {names}."
        text = json.dumps(outputs[target])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        # Of another kind: dbt says what is wrong with it.
        return
    read = dict.fromkeys(re.findall(r"""env_var\(\s*\\?['"](\w+)\\?['"]\s*\)""", text))
    if missing := [variable for variable in read if not os.environ.get(variable)]:
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        yield f"{_listed(missing)} {are} not set: the target {target} of profiles.yml needs {them}."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _check_snowflake(profile: str) -> None:
    """Looks only where `profile` takes all of the key from the environment: of what comes from elsewhere nothing is
    known here."""
    if not is_snowflake():
        return
    if not _is_key_pair():
        if os.environ.get("SNOWFLAKE_AUTHENTICATOR") == "oauth" and TOKEN in profile and not os.environ.get(TOKEN):
            raise CredentialsError(f"SNOWFLAKE_AUTHENTICATOR is oauth, and {TOKEN} is not set.")
    elif all(variable in profile for variable in (KEY, KEY_PATH, PASSPHRASE)):
        # A .env file, and most places that keep a secret, have one line for it; dbt wants a PEM's own lines.
        if key := os.environ.get(KEY):
            os.environ[KEY] = key.strip().replace("\\n", "\n")
        _check_key(os.environ.get(KEY), os.environ.get(KEY_PATH), os.environ.get(PASSPHRASE))


def _check_key(key: str | None, path: str | None, passphrase: str | None) -> None:
    """Reads the key as dbt-snowflake will."""
    from dbt.adapters.snowflake.auth import private_key_from_file, private_key_from_string

    if bool(key) == bool(path):
        raise CredentialsError(f"{'Only one' if key else 'One'} of {KEY_PATH} and {KEY} has to be set.")
    where = KEY if key else f"{KEY_PATH} ({path})"
    try:
        _ = private_key_from_string(key, passphrase) if key else private_key_from_file(path, passphrase)
    except OSError as error:
        raise CredentialsError(f"{where} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError) as error:
        raise CredentialsError(f"{where} {_why(str(error))}") from None


def _why(message: str) -> str:
    if "Password was not given" in message:
        return f"is encrypted: set {PASSPHRASE}."
    if "Password was given" in message:
        return f"is not encrypted: {PASSPHRASE} must not be set."
    if "Incorrect password" in message:
        return f"is encrypted with another passphrase than that of {PASSPHRASE}."
    return "is no private key: PEM is wanted, or for the content also base64 of PKCS#8 DER."


def _is_key_pair() -> bool:
    return os.environ.get("SNOWFLAKE_AUTHENTICATOR") in (None, "", "snowflake_jwt")
