"""The base of the groups of settings."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsPart(BaseSettings):
    """Some fields of `Settings`. Only `Settings` is read, so pydantic builds no validator of a part."""

    model_config = SettingsConfigDict(defer_build=True)
