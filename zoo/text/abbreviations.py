"""English and German abbreviations, in small letters and without their full stop."""

from __future__ import annotations

# A name, a number or a noun follows these: they do not end a sentence.
NEVER_LAST = frozenset(
    "mr mrs ms dr drs prof rev gen col capt lt sgt sen rep gov st mt messrs hon ft attn spec conf "
    "vs cf al eg ie viz approx dept est ed eds inc ltd "
    "hr hrn fr frl ca bzw evtl ggf bspw vgl sog zzt inkl exkl zzgl abzgl geb gest gem lt mind max min "
    "dipl ing med phil jur mag hl bd hrsg str abk".split()
)
# These do not end a sentence if a number follows.
BEFORE_NUMBERS = frozenset(
    "no nos nr nrn s p pp vol vols fig figs abb tab art abs kap ch sec sect eq bd jg ziff anm tel ph mob fax ext "
    "mon tue tues wed thu thur thurs fri sat sun "
    "jan feb mar apr jun jul aug sep sept oct okt nov dec dez".split()
)
# These keep their full stop, whether or not they end a sentence.
KEEP_STOP = frozenset(
    "corp co jr sr jan feb mar apr aug sept oct nov dec tue tues wed thu thur thurs fri la reps arrv lv esp blvd ave "
    "rd ph que va vol".split()
)
# These keep their full stop unless they end a sentence.
KEEP_STOP_INSIDE = frozenset("etc yrs mins oz lb lbs".split())
